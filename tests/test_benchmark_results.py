"""The page that benchmarks write to: a section for each machine, in it the newest run of each benchmark."""

from benchmarks.results import HEAD, merged


def test_runs_of_two_machines():
    page = merged("", "machine A", "bench_x.py", "1\n", "monday")
    assert page == f"{HEAD}\n## machine A\n### bench_x.py\nmonday\n```\n1\n```\n"
    page = merged(page, "machine B", "bench_x.py", "2", "tuesday")
    page = merged(page, "machine A", "bench_y.py", "3", "tuesday")
    assert page.count("## machine A") == page.count("## machine B") == 1
    again = merged(page, "machine A", "bench_x.py", "4", "friday")
    first, second = again.split("\n## ")[1:]
    assert first.startswith("machine A\n")
    assert "\n4\n" in first
    assert "\n1\n" not in first
    assert "\n3\n" in first
    assert "\n2\n" in second
    assert merged(again, "machine A", "bench_x.py", "4", "friday") == again

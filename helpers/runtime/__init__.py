"""The machine under a run: processes of one job, devices and precision, signals, logs."""

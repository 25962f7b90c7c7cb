"""Masked token prediction, whatever the network: frozen quantisers, masks keyed by item, the objective."""

"""A network over a store of tracks: embeddings and logits into stores."""

"""Text encoders on torch with token-budget batches, and the model store they load from.

store, catalogue   pull, verify and locate models            no torch
tokens, batching   exact token counts, and which texts share a batch   no torch
async_encoder      the encoder for an event loop             torch only in its own thread
text_encoder, threads, convert                               torch
"""

"""The acceptance kit for one accelerator: does the library compute there what it computes here?

    python -m benchmarks.gpu --out DIR [--part NAME,...] [--device cuda|cpu] [--size full|tiny]

A file for each part, in a process of its own with a time limit. It needs `lacuna` and its libraries
torch, transformers, peft, scipy, safetensors and tokenizers; no network, no model, none of ray,
mlflow, hydra, datasets, deepspeed or rouge_score. Every check is a JSON line in DIR/PART.jsonl as
soon as it is known, and a row of DIR/summary.md in the end. The exit status is 1 where a promise is
broken or a part did not end. `--device cpu --size tiny` runs every part's code on any machine.
"""

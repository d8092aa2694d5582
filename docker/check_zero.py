"""Two ZeRO-2 steps with a torch optimizer, and which operators DeepSpeed compiled for them.

Run by docker/check_image.sh: the image has what that takes.
"""

import os
from pathlib import Path

os.environ.update(
    RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29511"
)
import torch  # noqa: E402

if not torch.cuda.is_available():
    os.environ["DS_ACCELERATOR"] = "cpu"
import deepspeed  # noqa: E402


def main() -> None:
    """Trains a linear layer; raises if an operator cannot be compiled or loaded."""
    model = torch.nn.Linear(16, 16)
    config = {"train_batch_size": 4, "bf16": {"enabled": True}, "zero_optimization": {"stage": 2}}
    engine, *_ = deepspeed.initialize(
        model=model,
        config={**config, "zero_allow_untested_optimizer": True},
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2),
    )
    inputs = torch.ones(4, 16, dtype=torch.bfloat16, device=engine.device)
    losses = []
    for _ in range(2):
        loss = engine(inputs).float().pow(2).mean()
        engine.backward(loss)
        engine.step()
        losses.append(loss.item())
    assert losses[1] < losses[0], losses
    torch.distributed.destroy_process_group()
    compiled = Path(os.environ.get("TORCH_EXTENSIONS_DIR", "/nowhere")).glob("*/*.so")
    names = sorted(path.stem for path in compiled) or ["nothing"]
    print(f"ZeRO-2 trains on {engine.device.type}; compiled for it: {', '.join(names)}")


if __name__ == "__main__":
    main()

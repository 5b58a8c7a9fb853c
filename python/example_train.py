"""Trains a small embedding on the triplets of a data set: python example_train.py DIR"""
import sys
import torch
from torch.utils.data import DataLoader
from refrain_store import Store
from refrain_store.torch import StoreDataset, TripletSampler


def train(path, epochs=3, batch_size=64):
    store, losses = Store(path), []
    sampler = TripletSampler(store, batch_size, seed=1)
    loader = DataLoader(StoreDataset(store), sampler=sampler, batch_size=None, num_workers=2)
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Conv1d(store.shape[1], 64, 5, stride=2), torch.nn.ReLU(),
                                torch.nn.AdaptiveAvgPool1d(8), torch.nn.Flatten(),
                                torch.nn.Linear(64 * 8, 32))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(epochs):
        losses.append(0.0)
        for batch in loader:  # (3 * batch_size, frames, mels), dB from -80 to 0
            anchor, positive, negative = model(batch.transpose(1, 2) / 40 + 1).chunk(3)
            loss = torch.nn.functional.triplet_margin_loss(anchor, positive, negative)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1] += loss.item() / len(loader)
        print(f"epoch {epoch}: loss {losses[-1]:.4f}")
    return losses


if __name__ == "__main__":
    train(sys.argv[1])

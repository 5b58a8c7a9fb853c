"""Trains a small embedding on the triplets of a data set: python example_train.py DIR"""
import sys

from torch import manual_seed, nn, optim
from torch.utils.data import DataLoader
from refrain_store import Store
from refrain_store.torch import StoreDataset, TripletSampler


def train(path, epochs=3, batch_size=64):
    store, _ = Store(path), manual_seed(1)
    sampler = TripletSampler(store, batch_size, seed=1)
    loader = DataLoader(StoreDataset(store), sampler=sampler, batch_size=None, num_workers=2)
    model = nn.Sequential(nn.Conv1d(store.shape[1], 64, 5, stride=2), nn.ReLU(),
                          nn.AdaptiveAvgPool1d(8), nn.Flatten(), nn.Linear(512, 32))
    optimizer, losses = optim.Adam(model.parameters(), 1e-3), [0.0] * epochs
    for epoch, batch in ((epoch, batch) for epoch in range(epochs) for batch in loader):
        anchor, positive, negative = model(batch.transpose(1, 2) / 40 + 1).chunk(3)
        loss = nn.functional.triplet_margin_loss(anchor, positive, negative)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses[epoch] += loss.item() / len(loader)
    return losses


if __name__ == "__main__":
    print(train(sys.argv[1]))

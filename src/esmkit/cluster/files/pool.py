"""How many workers there are, and what each of them takes of a machine."""

from __future__ import annotations

from dataclasses import dataclass

import ray

from esmkit.cluster.connection import ClusterError

SMALL, MEDIUM = 50_000_000, 200_000_000
"""Parameters up to which a worker takes a quarter, or half, of a GPU: the kernels of small models do not fill one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Workers of a run.

    Attributes:
        least: workers that are kept,
        most: and to which the pool grows; None: as many as the cluster has room for.
        cpus: processors of a worker, and its threads.
        gpus: share of a GPU, or whole ones; None: what suits the model where there are GPUs, 0 elsewhere.
    """

    least: int = 1
    most: int | None = None
    cpus: int = 1
    gpus: float | None = None

    def first_gpus(self) -> float:
        """What the first worker takes, before the size of the model is known."""
        if self.gpus is not None:
            return self.gpus
        return 1.0 if ray.cluster_resources().get("GPU", 0) >= 1 else 0.0  # type: ignore[no-untyped-call]

    def gpu_share(self, parameters: int) -> float:
        """What each worker of a model of this size takes."""
        first = self.first_gpus()
        if self.gpus is not None or not first:
            return first
        return 0.25 if parameters <= SMALL else 0.5 if parameters <= MEDIUM else 1.0

    def room(self, gpus: float) -> int:
        """Workers that fit on the machines that are there.

        Raises:
            ClusterError: not one, and the pool does not say to how many it shall grow.
        """
        machines: list[dict[str, float]] = [
            node["Resources"]
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"]
        ]
        fits = sum(self._fit(machine, gpus) for machine in machines)
        if not fits and self.most is None:
            largest = max((int(machine.get("CPU", 0)) for machine in machines), default=0)
            raise ClusterError(
                f"no machine of the cluster has {self.cpus} CPUs and {gpus:g} GPUs for a worker (the largest has "
                f"{largest} CPUs); lower --threads or --ray-gpus, or where machines are added when they are needed "
                "name the number of workers with --ray-workers"
            )
        return fits

    def _fit(self, machine: dict[str, float], gpus: float) -> int:
        by_cpus = int(machine.get("CPU", 0) // self.cpus)
        return min(by_cpus, int(machine.get("GPU", 0) // gpus)) if gpus else by_cpus

"""Work on many chunks by a few threads; compiled kernels release the interpreter lock."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TypeVar

Task = TypeVar("Task")


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def work_through(
    tasks: Iterable[Task],
    work: Callable[[int, Task], None],
    *,
    threads: int,
    done: Callable[[Task], None],
) -> None:
    """Call ``work(worker, task)`` for every task, and ``done(task)`` in the calling thread after each.

    An exception in `work` or `done`, or a KeyboardInterrupt in the calling thread, lets the tasks in progress
    finish, starts no other, and is raised.

    tasks: taken one by one, in order.
    work: called with the number of the worker, 0..threads - 1, so that workers can have their own tallies.
    threads: with 1, everything happens in the calling thread.
    done: reports a finished task.
    """
    if threads == 1:
        for task in tasks:
            work(0, task)
            done(task)
        return

    iterator = iter(tasks)
    lock = threading.Lock()
    stop = threading.Event()
    # A finished task, or an empty list when a worker ends.
    finished: SimpleQueue[list[Task]] = SimpleQueue()

    def worker(number: int) -> None:
        try:
            while not stop.is_set():
                with lock:
                    taken = list(islice(iterator, 1))
                if not taken:
                    return
                work(number, taken[0])
                finished.put(taken)
        except BaseException:
            stop.set()
            raise
        finally:
            finished.put([])

    with ThreadPoolExecutor(threads, thread_name_prefix="specsim") as pool:
        try:
            # Inside, because an interrupt may come while the workers start.
            futures = [pool.submit(worker, number) for number in range(threads)]
            running = threads
            while running:
                try:
                    # With a time limit, so that Ctrl-C is seen on every platform.
                    ended = finished.get(timeout=0.2)
                except Empty:
                    continue
                for task in ended:
                    done(task)
                running -= not ended
        except BaseException:
            stop.set()
            raise
        for future in futures:
            future.result()

"""What the report shows: which figures, which bars, and what they are called.

report_text.py makes text of it. The prose is in performance_template.md.
"""

from typing import NamedTuple, Optional

COMMAND = "./bazelw run -c opt //benchmarks:report"
BENCHMARKS = ("checkpoint_overhead", "context_switch", "peers")


class Bar(NamedTuple):
    """A rung may take `times` as long as `base`, or `more_ns` longer."""
    what: str
    rung: str
    base: str
    times: Optional[float] = None
    more_ns: Optional[float] = None


BARS = (
    Bar("a checkpoint with a portal / without", "runtime/checkpoint_in_portal",
        "runtime/checkpoint", times=1.02),
    Bar("a checkpoint / a bare queue of handles", "runtime/checkpoint",
        "floor/checkpoint", times=2.5),
    Bar("`Await()` of what is ready, over a function call",
        "runtime/await_ready", "floor/function_call", more_ns=3),
    Bar("`Await(Checkpoint())` one call deep / a round trip by `jump_fcontext`",
        "runtime/await_checkpoint/depth:1", "switch/jump_fcontext/depth:0",
        times=4),
    Bar("a switch, there and back, below eight calls / by `jump_fcontext`",
        "switch/greenback/depth:8", "switch/jump_fcontext/depth:8", times=0.5),
    Bar("`WithPortalRunSync()` of an empty function, over calling it",
        "runtime/sync_portal_creation", "floor/function_call", more_ns=5),
    Bar("the same in Asio / a round trip by `jump_fcontext`",
        "asio/sync_portal_creation", "switch/jump_fcontext/depth:0", times=3),
    Bar("the same in a coroutine of another library / the same round trip",
        "foreign/sync_portal_creation", "switch/jump_fcontext/depth:0",
        times=3),
    Bar("an Asio step with a portal / without", "asio/checkpoint_in_portal",
        "asio/checkpoint", times=1.10),
    Bar("`Await()` of a `Co` that posts, in Asio / Boost.Asio's own way",
        "peers/greenback_asio_co", "peers/asio_spawn_co_spawn", times=0.33),
    Bar("the same of a `boost::asio::awaitable`",
        "peers/greenback_asio_coroutine", "peers/asio_spawn_co_spawn",
        times=0.33),
    Bar("the same in the runtime", "peers/greenback_runtime_coroutine",
        "peers/asio_spawn_co_spawn", times=0.33),
    Bar("a wait in Asio / Boost.Asio's `spawn`", "peers/greenback_asio/tasks:1",
        "peers/asio_spawn", times=1),
    Bar("a wait in the runtime / Boost.Asio's `spawn`",
        "peers/greenback_runtime/tasks:1", "peers/asio_spawn", times=1),
    Bar("a wait in the runtime / Boost.Fiber, alone",
        "peers/greenback_runtime/tasks:1", "peers/boost_fiber/fibers:1",
        times=1),
    Bar("a wait in the runtime / Boost.Fiber, two in turn",
        "peers/greenback_runtime/tasks:2", "peers/boost_fiber/fibers:2",
        times=1),
    Bar("a wait in the runtime / a thread pool's future",
        "peers/greenback_runtime/tasks:2", "peers/thread_pool_future", times=1),
    Bar("a wait in the runtime / a thread a call",
        "peers/greenback_runtime/tasks:2", "peers/thread_per_call", times=1),
)


class MemoryBar(NamedTuple):
    """A figure of //benchmarks:memory: at most `most`, or at least another.

    `what` may name figures in braces.
    """
    what: str
    figure: str
    bar: str
    most: Optional[float] = None
    at_least: Optional[str] = None


MEMORY_BARS = (
    MemoryBar("stacks that idle portal tasks hold", "idle_stacks", "0", most=0),
    MemoryBar("resident bytes of a parked task", "parked_resident_bytes_each",
              "≤ 8,192", most=8192),
    MemoryBar("of {parked:,} stacks of parked tasks, guarded", "guarded_stacks",
              "all", at_least="parked"),
)

# (what, figure of //benchmarks:memory)
MEMORY_FIGURES = (
    ("resident bytes of a parked task, its stack included",
     "parked_resident_bytes_each"),
    ("resident bytes of an idle task", "idle_resident_bytes_each"),
    ("stacks of parked tasks", "parked_stacks"),
    ("of them with a guard", "guarded_stacks"),
    ("stacks of idle tasks", "idle_stacks"),
    ("mappings of the process", "mappings"),
    ("ns a task to start and park", "park_ns_each"),
    ("ns a task to wake, and to end it", "wake_ns_each"),
)

# The rungs of each host's ladder, each compared with its first.
LADDER = (
    "checkpoint", "checkpoint_in_portal", "checkpoint_in_company",
    "await_ready", "await_checkpoint_alone/depth:1", "await_checkpoint/depth:0",
    "await_checkpoint/depth:1", "await_checkpoint/depth:8",
    "await_checkpoint/depth:32", "checkpoints_in_one_await",
    "await_checkpoint_in_sync_portal", "portal_per_await",
    "sync_portal_per_await", "portal_creation", "sync_portal_creation",
)

# The rungs that the Python library's microbenchmark has too, in its
# microseconds: on Trio beside the runtime, on asyncio beside Asio.
PYTHON_VERSIONS = "CPython 3.11, Trio 0.22"
PYTHON_US = {
    "runtime": {
        "checkpoint": 2.7,
        "checkpoint_in_portal": 4.1,
        "await_checkpoint/depth:1": 6.7,
        "portal_per_await": 25.7,
        "sync_portal_per_await": 18.8,
        "portal_creation": 16.5,
        "sync_portal_creation": 9.0,
    },
    "asio": {
        "checkpoint": 1.8,
        "checkpoint_in_portal": 3.3,
        "await_checkpoint/depth:1": 6.1,
        "portal_per_await": 24.9,
        "sync_portal_per_await": 17.6,
        "portal_creation": 15.6,
        "sync_portal_creation": 8.6,
    },
}


class Listing(NamedTuple):
    """All rungs that begin so and are in no ladder, compared with `base`."""
    prefixes: tuple
    base: str


# By the name that performance_template.md has for each.
LISTINGS = {
    "others": Listing(("floor/", "runtime/", "asio/", "foreign/"),
                      "floor/checkpoint"),
    "peers": Listing(("peers/",), "peers/greenback_runtime/tasks:2"),
    "switches": Listing(("switch/", "stack/", "fibers/"),
                        "switch/jump_fcontext/depth:0"),
}

# The colours of the chart's legend, in its order.
FLOOR, GREENBACK, OTHERS = "the floor", "greenback", "other ways"
COLOURS = {FLOOR: "#9aa0a6", GREENBACK: "#1a73e8", OTHERS: "#e8710a"}

# (rung, text, entry of the legend)
CHART = (
    ("floor/function_call", "a function call", FLOOR),
    ("floor/checkpoint", "a bare queue of handles", FLOOR),
    ("switch/jump_fcontext/depth:0", "jump_fcontext, there and back", FLOOR),
    ("runtime/checkpoint", "co_await Checkpoint()", GREENBACK),
    ("runtime/checkpoint_in_portal", "the same, with a portal", GREENBACK),
    ("runtime/await_ready", "Await() of what is ready", GREENBACK),
    ("runtime/await_checkpoint_alone/depth:1", "Await(Checkpoint()), alone",
     GREENBACK),
    ("runtime/await_checkpoint/depth:1", "the same, in company", GREENBACK),
    ("runtime/await_checkpoint/depth:32", "the same, 32 calls deep", GREENBACK),
    ("peers/greenback_runtime_coroutine", "Await() of a coroutine", GREENBACK),
    ("asio/checkpoint", "Asio: a post", GREENBACK),
    ("asio/checkpoint_in_portal", "Asio: a post, with a portal", GREENBACK),
    ("asio/await_checkpoint/depth:1", "Asio: Await() of a post", GREENBACK),
    ("peers/boost_fiber/fibers:1", "Boost.Fiber: yield, alone", OTHERS),
    ("peers/boost_fiber/fibers:2", "Boost.Fiber: yield, two in turn", OTHERS),
    ("peers/asio_spawn", "Boost.Asio: spawn, a post", OTHERS),
    ("peers/asio_spawn_co_spawn", "Boost.Asio: spawn, a coroutine", OTHERS),
    ("peers/thread_pool_future", "a thread pool's future", OTHERS),
    ("peers/thread_per_call", "a thread a call", OTHERS),
)

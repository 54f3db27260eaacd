import asyncio

from sparta_ray.desk import Desk


def test_a_list_is_taken_once_and_by_its_drawer():
    async def use(desk):
        await desk.put("a", 1)
        await desk.put("b", 2)
        await desk.put("a", 3)
        return [await desk.take(drawer) for drawer in ("a", "a", "b")]

    assert asyncio.run(use(Desk())) == [[1, 3], [], [2]]


def test_a_flag_answers_who_waits_and_who_comes_later():
    async def use(desk):
        waiting = asyncio.create_task(desk.flag("a"))
        other = asyncio.create_task(desk.flag("b"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await desk.raise_flag("a")
        await waiting
        await desk.flag("a")
        assert not other.done()
        other.cancel()

    asyncio.run(asyncio.wait_for(use(Desk()), timeout=10))


def test_a_process_gets_further_when_its_mark_changes(monkeypatch):
    clock = iter([0.0, 4.0, 10.0, 11.0, 15.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))

    async def use(desk):
        await desk.tell("a", 0, "forward", 7, "actor")
        await desk.tell("a", 0, "backward", 7, "actor")
        before = (await desk.told("a"))[0]
        await desk.tell("a", 0, "forward", 8, "actor")
        return before, (await desk.told("a"))[0]

    coroutine = use(Desk())
    try:
        coroutine.send(None)
    except StopIteration as end:
        before, after = end.value
    assert (before.said, before.silent, before.still) == ("backward", 6.0, 10.0)
    assert (after.said, after.silent, after.still) == ("forward", 4.0, 4.0)

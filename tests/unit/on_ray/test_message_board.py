import asyncio

from sparta_ray.on_ray.message_board import MessageBoard


def test_a_list_is_taken_once_and_by_its_topic():
    async def use(board):
        await board.append("a", 1)
        await board.append("b", 2)
        await board.append("a", 3)
        return [await board.take_all(topic) for topic in ("a", "a", "b")]

    assert asyncio.run(use(MessageBoard())) == [[1, 3], [], [2]]


def test_a_flag_answers_who_waits_and_who_comes_later():
    async def use(board):
        waiting = asyncio.create_task(board.wait_for_flag("a"))
        other = asyncio.create_task(board.wait_for_flag("b"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await board.raise_flag("a")
        await waiting
        await board.wait_for_flag("a")
        assert not other.done()
        other.cancel()

    asyncio.run(asyncio.wait_for(use(MessageBoard()), timeout=10))


def test_a_process_gets_further_when_its_mark_changes(monkeypatch):
    clock = iter([0.0, 4.0, 10.0, 11.0, 15.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))

    async def use(board):
        await board.post("a", 0, "forward", 7, "actor")
        await board.post("a", 0, "backward", 7, "actor")
        before = (await board.last_messages("a"))[0]
        await board.post("a", 0, "forward", 8, "actor")
        return before, (await board.last_messages("a"))[0]

    coroutine = use(MessageBoard())
    try:
        coroutine.send(None)
    except StopIteration as end:
        before, after = end.value
    assert (before.content, before.silent, before.still) == ("backward", 6.0, 10.0)
    assert (after.content, after.silent, after.still) == ("forward", 4.0, 4.0)

"""`python -m dexexec localnet` as a command: its banner, its options, its refusals, its end."""

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from tornado.websocket import websocket_connect

from dexexec.errors import StartupError, install_hint
from dexexec.localnet.blocks import Consensus
from dexexec.localnet.command import Options, serve
from dexexec.localnet.runtime import Runtime
from tests.support.localnet.in_process import SOL, rpc, sign
from tests.support.localnet.process import MANUAL_SLOTS, blockhash, localnet_processes, send, status

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


async def test_the_banner_has_the_address_and_sigterm_ends_it(tmp_path: Path) -> None:
    with localnet_processes(tmp_path) as start:
        process = start()
        url = await process.url()
        assert await rpc(url, "getGenesisHash") in process.out
        assert str(tmp_path / "ledger") in process.out
        for word in ("requestAirdrop", "getHealth", "every 200 ms", "alpenglow"):
            assert word in process.out
        [address] = [line.split()[1] for line in process.out.splitlines() if line.strip().startswith("WebSocket")]
        open_socket = await websocket_connect(address)
        process.popen.send_signal(signal.SIGTERM)
        assert await open_socket.read_message() is None
        assert open_socket.close_code == 1001
        open_socket.close()
        assert await process.ended() == 0
        assert "Traceback" not in process.out


async def test_slots_pass_by_themselves(tmp_path: Path) -> None:
    with localnet_processes(tmp_path) as start:
        url = await start("--slot-ms", "5", "--consensus", "tower").url()
        while await rpc(url, "getSlot", {"commitment": "finalized"}) < 3:
            pass
        assert await rpc(url, "getBlockHeight", {"commitment": "processed"}) >= 35


async def test_a_chain_migrates_to_alpenglow_and_never_back(tmp_path: Path) -> None:
    with localnet_processes(tmp_path) as start:
        older = start("--consensus", "tower")
        url = await older.url()
        assert "every 400 ms" in older.out
        assert await rpc(url, "getAgGenesisCert") is None
        await older.kill()
        for _ in range(2):
            migrated = start()
            url = await migrated.url()
            certificate = await rpc(url, "getAgGenesisCert")
            assert await rpc(url, "getSlot") >= certificate["block"]["slot"]
            assert len(certificate["block"]["blockId"]) == 32
            assert len(certificate["signature"]["signature"]) == 192
            await migrated.kill()
        back = start("--consensus", "tower")
        assert await back.ended() == 2
        assert "has migrated to alpenglow" in back.out
        assert back.out.count("\n") == 1


async def test_a_second_process_on_the_same_ledger_is_refused_in_one_line(tmp_path: Path) -> None:
    with localnet_processes(tmp_path) as start:
        await start().url()
        second = start()
        assert await second.ended() == 2
        assert second.out.startswith("dexexec: another localnet uses ")
        assert second.out.count("\n") == 1


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, localnet_processes(tmp_path) as start:
        port = taken.getsockname()[1]
        process = start("--ws-port", str(port))
        assert await process.ended() == 2
        assert process.out == (
            f"dexexec: port {port} is not available (Address already in use): stop what listens there,"
            " or give another --ws-port\n"
        )


async def test_programs_and_accounts_come_from_files_and_stay(tmp_path: Path) -> None:
    memo = Runtime().account(MEMO)
    assert memo is not None
    (tmp_path / "program.so").write_bytes(memo.data)
    program, address = Pubkey.new_unique(), Pubkey.new_unique()
    fields = {"lamports": SOL, "data": [base64.b64encode(b"hello").decode(), "base64"], "owner": str(program)}
    fields |= {"executable": False, "rentEpoch": 2**64 - 1, "space": 5}
    (tmp_path / "account.json").write_text(json.dumps({"pubkey": str(address), "account": fields}))
    loads = ("--program", f"{program}=program.so", "--account", f"{address}=account.json")
    with localnet_processes(tmp_path) as start:
        for number, arguments in enumerate((loads, (), loads)):
            process = start(*MANUAL_SLOTS, *arguments)
            url, wallet = await process.url(), Keypair()
            assert ("keeps what it has" in process.out) == (number == 2)
            found = (await rpc(url, "getAccountInfo", str(address), {"encoding": "base64", "commitment": "processed"}))[
                "value"
            ]
            assert found == fields
            await rpc(url, "requestAirdrop", str(wallet.pubkey()), SOL)
            transaction = sign([Instruction(program, b"hi", [])], wallet, blockhash=await blockhash(url))
            await send(url, transaction)
            assert (await status(url, transaction.signatures[0]))["err"] is None
            await process.kill()


async def test_a_stopped_clock_without_faults_is_refused(tmp_path: Path) -> None:
    with localnet_processes(tmp_path) as start:
        process = start("--slot-ms", "0")
        assert await process.ended() == 2
        assert process.out.startswith("dexexec: --slot-ms 0 stops the clock")
        assert process.out.count("\n") == 1


@pytest.mark.parametrize(
    ("programs", "accounts", "problem"),
    [
        (["x"], [], r"--program x: must be ADDRESS=FILE"),
        ([f"{MEMO}=none.so"], [], r"--program none.so: cannot be read \(No such file or directory\)"),
        ([f"{MEMO}=text"], [], r"--program text: not an ELF file"),
        ([f"{MEMO}=elf"], [], r"a program cannot be loaded"),
        ([], [f"{MEMO}=text"], r"--account text: Expecting value"),
        ([], [f"{MEMO}=empty.json"], r"--account empty.json: 'account' is missing"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: list[str], accounts: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("no program")
    Path("elf").write_bytes(b"\x7fELF and no more")
    Path("empty.json").write_text("{}")
    options = Options(
        folder=tmp_path / "ledger",
        port=0,
        ws_port=0,
        slot_ms=400,
        consensus=Consensus.TOWER,
        programs=programs,
        accounts=accounts,
        allow_faults=False,
    )
    with pytest.raises(StartupError, match=problem):
        asyncio.run(serve(options, asyncio.Event(), lambda _: None))


WITHOUT = "import sys; sys.modules['solders'] = None; from dexexec.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("localnet",),
            2,
            f"dexexec: localnet needs the solana extra: {install_hint('solana')}\n",
        ),
        (("localnet", "--help"), 0, "usage: python -m dexexec localnet"),
        (("adapters", "list"), 0, "mock-raydium"),
    ],
)
def test_only_localnet_needs_the_extra(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DEXEXEC_")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=tmp_path,
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr

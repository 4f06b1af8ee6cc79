"""How long does ``matching-service import`` take for a workbook, and how much memory does it need?

The command runs as a process of its own into a new SQLite database. Its peak memory is what the kernel counted for it.
Reading alone is measured beside openpyxl, which reads the same file row by row.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from openpyxl import Workbook, load_workbook

from benchmarks.measure import Row
from matching_service.files.headings import FORMS
from matching_service.files.records import open_contents

N_ROWS, N_MANY, QUICK_ROWS = 20_000, 200_000, 2_000
AT_MOST_S = 30.0
AT_MOST_MB = 500.0
_HEADINGS = (
    "编号", "需求名称", "主要问题", "关键技术", "预期目标", "关键词", "所在地区", "投入资金（万元）", "开始年份", "结束年份", "合作方式", "截止日期",  # noqa: E501
)  # fmt: skip


def run(*, quick: bool = False) -> list[Row]:
    """Reading beside openpyxl; then the whole command for two sizes."""
    sizes = (QUICK_ROWS,) if quick else (N_ROWS, N_MANY)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for n_rows in sizes:
            path = write_workbook(Path(folder) / f"{n_rows}.xlsx", n_rows)
            if n_rows == sizes[0]:
                rows.append(_reading(path, n_rows))
            rows += _command(path, n_rows, Path(folder) / f"data-{n_rows}")
    return rows


def write_workbook(path: Path, n_rows: int) -> Path:
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(_HEADINGS)
    for n in range(n_rows):
        sheet.append(
            [
                f"D-{n}", f"谐波减速器疲劳寿命提升第{n}项", f"柔轮在额定负载下运行约{n}小时后齿根出现裂纹，设备停机检修。", "齿形优化与材料热处理",  # noqa: E501
                "额定寿命不低于10000小时", "谐波减速器，柔轮，疲劳寿命", "佛山市南海区", 80 + n % 50, "2026年", 2027, "联合研发", "2026年12月31日",  # noqa: E501
            ]
        )  # fmt: skip
    book.save(path)
    return path


def _reading(path: Path, n_rows: int) -> Row:
    ours = _seconds(lambda: sum(1 for _ in open_contents(path, FORMS["demands"]).rows()))
    peer = _seconds(
        lambda: sum(1 for _ in load_workbook(path, read_only=True).worksheets[0].iter_rows(values_only=True))
    )
    return Row(
        question="workbook to checked records", size=f"{n_rows:,} rows of {len(_HEADINGS)} columns", unit="s", ours_p50=ours,  # noqa: E501
        peer="openpyxl, cells only", peer_p50=peer, ratio=ours / peer,
    )  # fmt: skip


def _command(path: Path, n_rows: int, data: Path) -> list[Row]:
    environment = os.environ | {"MATCHING_DATA_DIR": str(data), "MATCHING_ENCODER": "none"}
    subprocess.run(
        [sys.executable, "-m", "matching_service", "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    command = [sys.executable, "-m", "matching_service", "import", "demands", str(path), "--json"]
    started = perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, peak_mb = perf_counter() - started, usage.ru_maxrss / 1024
    if process.returncode != 0:
        message = f"import ended with {process.returncode}"
        raise RuntimeError(message)
    size = f"{n_rows:,} rows of {len(_HEADINGS)} columns, sqlite"
    is_timed, is_weighed = n_rows == N_ROWS, n_rows == N_MANY
    return [
        Row(
            question="import of a workbook", size=size, unit="s", ours_p50=seconds,
            target=f"at most {AT_MOST_S:.0f} s" if is_timed else "", reached=seconds <= AT_MOST_S if is_timed else None,
        ),
        Row(
            question="import of a workbook, peak memory", size=size, unit="MB", ours_p50=peak_mb,
            target=f"at most {AT_MOST_MB:.0f} MB" if is_weighed else "", reached=peak_mb <= AT_MOST_MB if is_weighed else None,  # noqa: E501
        ),
    ]  # fmt: skip


def _seconds(work: Callable[[], int]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started

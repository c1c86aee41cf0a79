"""The committed goldens have their files, checksums and metadata."""

import pytest

from parity.models.cases import CASES, CASES_BY_NAME
from parity.models.golden import checkpoint_checksums
from parity.models.releases import RELEASES
from parity.models.variables import release_variables
from parity.store import CHECKPOINTS, GOLDENS, read_arrays, read_json, sha256

IDS = [case.name for case in CASES]


def test_names_of_cases_are_unique():
    assert len(CASES_BY_NAME) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_golden_has_its_checksum(case):
    metadata = read_json(GOLDENS / (case.name + ".json"))
    assert sha256(GOLDENS / (case.name + ".npz")) == metadata["sha256"]
    assert metadata["provenance"]["versions"]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.oracle == "reference"], ids=lambda case: case.name
)
def test_golden_names_the_reference(case):
    versions = read_json(GOLDENS / (case.name + ".json"))["provenance"]["versions"]
    assert (versions["bert4keras"], versions["keras"], versions["tensorflow"]) == (
        "0.11.5",
        "2.3.1",
        "1.15.5",
    )


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.release != "minilm"], ids=lambda case: case.name
)
def test_checkpoint_is_the_one_of_the_golden(case):
    assert checkpoint_checksums(case) == read_json(GOLDENS / (case.name + ".json"))["checkpoint"]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_batch_has_padding(case):
    golden = read_arrays(GOLDENS / (case.name + ".npz"))
    token_input = read_json(GOLDENS / (case.name + ".json"))["token_input"]
    assert (golden[f"{case.lengths[-1]}/input/{token_input}"] == 0).any()


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_release_has_its_files(release):
    names = {path.name for path in (CHECKPOINTS / release.name).iterdir()}
    shards = {f"{release.prefix}.data-{i:05d}-of-{release.shards:05d}" for i in range(release.shards)}
    assert names == {release.config_name, release.prefix + ".index"} | shards
    assert release_variables(release)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_release_has_a_case(release):
    assert [case.name for case in CASES if case.release == release.name]


def test_goldens_take_some_megabytes():
    assert sum(path.stat().st_size for path in GOLDENS.rglob("*") if path.is_file()) < 21e6

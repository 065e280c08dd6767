"""Mutations of the places where files come to rest, and of the formats out."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

MUTATIONS = (
    Mutation(
        "if-none-match: an object that is there is not written again by one who comes late",
        code("destinations/bucket.py"),
        'Body=io.BytesIO(view), IfNoneMatch="*", ',
        "Body=io.BytesIO(view), ",
        "tests/faults/test_destinations_misbehave.py::test_a_late_put_of_one_who_gave_up_changes_nothing",
    ),
    Mutation(
        "upload-abort: parts of an object that failed do not stay",
        code("destinations/bucket.py"),
        "        except BaseException:  # a cancelled one too (B2)\n            await self._abort(key, upload)\n",
        "        except BaseException:\n",
        "tests/faults/test_destinations_misbehave.py::test_an_upload_whose_time_is_over_is_aborted_and_leaves_nothing",
    ),
    Mutation(
        "file-fsync: a job's file is on disk before it has its name",
        code("destinations/folder.py"),
        "                file.flush()\n                os.fsync(file.fileno())\n",
        "                file.flush()\n",
        "tests/unit/test_folder_destination.py::"
        "test_f1_a_file_has_its_bytes_on_disk_before_its_name_and_its_folder_after",
    ),
    Mutation(
        "empty-row: a row without any value is a line of NDJSON too",
        code("formats/out/ndjson.py"),
        'pc.if_else(nothing, pa.scalar(b"", BINARY), columns[0])',
        "columns[0]",
        "tests/unit/test_formats_out.py::test_a_row_without_any_value_is_an_empty_object",
    ),
    Mutation(
        "secret-variables: a configuration names no variables of the worker but those meant for it",
        code("destinations/credentials.py"),
        "if not name.startswith(prefix):",
        "if not name:",
        "tests/unit/test_secrets.py::test_no_variable_is_read_but_those_meant_for_it",
    ),
    Mutation(
        "secret-files: nor files outside of the secrets' folder",
        code("destinations/credentials.py"),
        "path = Path(reference.place).resolve()",
        "path = Path(reference.place)",
        "tests/unit/test_secrets.py::test_no_file_is_read_but_those_below_the_secrets_folder_wherever_links_lead",
    ),
)

"""Mutations of finding by id: Bloom filters and the index beside a table."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_IDS_INDEX = "tests/unit/test_ids_index.py"
_LOOKING = "tests/explore/test_explore_ids.py"

MUTATIONS = (
    Mutation(
        "index-deleted: nothing in an index outlives a deletion",
        code("care/deletion.py"),
        "    upkeep.forget(store, order.path)\n",
        "",
        "tests/unit/test_care_index.py::test_nothing_of_an_index_outlives_a_deletion",
    ),
    Mutation(
        "index-late: who knows an older table brings no deleted id back into its index",
        code("table/ids/upkeep.py"),
        "if len(alive) == len(files):",
        "if True:",
        "tests/unit/test_care_index.py::test_u1_who_knows_an_older_table_brings_back_nothing_that_was_deleted",
    ),
    Mutation(
        "index-size: a file of the same name and other bytes is another file",
        code("explore/ids.py"),
        "known = look.index.catalogue.known",
        "known = {f: v for (p, _), v in look.index.catalogue.known.items() for f in look.files if f[0] == p}",
        f"{_IDS_INDEX}::test_i1_a_file_of_another_size_is_another_file",
    ),
    Mutation(
        "index-unknown: a file that the index does not know is not left out",
        code("explore/ids.py"),
        "look.unknown.add(number)",
        "pass",
        f"{_IDS_INDEX}::test_an_index_names_the_one_file_of_an_id_and_none_for_a_stranger",
    ),
    Mutation(
        "index-always: a file without filters is always handed over",
        code("explore/ids.py"),
        "set(part.always()) if look.hashes else set()",
        "set()",
        f"{_IDS_INDEX}::test_i1_files_that_can_not_tell_are_always_handed_over",
    ),
    Mutation(
        "index-spoiled: a part that can't be read leaves nothing out",
        code("explore/ids.py"),
        "look.unknown.update(numbers.values())",
        "pass",
        f"{_IDS_INDEX}::test_i2_a_spoiled_part_is_found_out_and_made_anew",
    ),
    Mutation(
        "index-fails: a store that fails leaves nothing out",
        code("explore/ids.py"),
        "return bloom.UNKNOWN",
        "return bloom.NO_IDS",
        f"{_LOOKING}::test_w2_a_store_that_fails_leaves_nothing_out",
    ),
    Mutation(
        "index-slow: a store that is slow leaves nothing out",
        code("explore/ids.py"),
        "look.may[:] = True",
        "pass",
        f"{_LOOKING}::test_w2_a_store_that_is_slow_leaves_nothing_out",
    ),
    Mutation(
        "index-many: what is too much to ask leaves nothing out",
        code("explore/ids.py"),
        "look.may[numbers] = True",
        "pass",
        f"{_LOOKING}::test_w1_too_many_to_ask_are_handed_over",
    ),
    Mutation(
        "index-sum: a stripe is believed by its sum alone",
        code("table/ids/catalogue.py"),
        "len(data) == length and zlib.crc32(data[:-_CRC_BYTES], seed) == found",
        "len(data) == length",
        f"{_IDS_INDEX}::test_i2_a_stripe_is_known_by_its_place_and_by_every_bit",
    ),
    Mutation(
        "index-place: a stripe's sum says where it belongs",
        code("table/ids/catalogue.py"),
        'return zlib.crc32(f"{name}/{blocks}/{number}".encode())',
        "return 0",
        f"{_IDS_INDEX}::test_i2_a_stripe_is_known_by_its_place_and_by_every_bit",
    ),
    Mutation(
        "index-catalogue: a catalogue that was harmed is none",
        code("table/ids/catalogue.py"),
        " or zlib.crc32(body, _belongs(table)) != crc",
        "",
        f"{_IDS_INDEX}::test_i2_a_catalogue_is_one_tables_and_one_fields_and_whole",
    ),
    Mutation(
        "index-table: a catalogue is one table's",
        code("table/ids/catalogue.py"),
        "return zlib.crc32(table.encode())",
        "return 0",
        f"{_IDS_INDEX}::test_i2_a_catalogue_is_one_tables_and_one_fields_and_whole",
    ),
    Mutation(
        "index-field: a catalogue is of one field's values",
        code("table/ids/catalogue.py"),
        ' if told["field"] == field else ()',
        "",
        f"{_IDS_INDEX}::test_i2_a_catalogue_is_one_tables_and_one_fields_and_whole",
    ),
    Mutation(
        "index-path: a part lies in its table's folder",
        code("table/ids/catalogue.py"),
        'if not _NAME.fullmatch(told["name"]):',
        "if False:",
        f"{_IDS_INDEX}::test_i2_what_says_impossible_things_is_no_catalogue_though_its_sum_is_right",
    ),
    Mutation(
        "index-copies: a harmed part is not copied into another",
        code("table/ids/catalogue.py"),
        "if not _whole(stripe, section.width, _seed(self.name, section.blocks, number)):",
        "if False:",
        f"{_IDS_INDEX}::test_i2_a_spoiled_part_is_not_copied_into_another",
    ),
    Mutation(
        "index-missing: a part that is gone is made anew",
        code("table/ids/upkeep.py"),
        "there.get(part.name) == part.size and ",
        "",
        f"{_IDS_INDEX}::test_a_part_that_a_listing_shows_to_be_gone_is_made_anew",
    ),
    Mutation(
        "index-outlives: filters go with the files that they were of",
        code("table/ids/upkeep.py"),
        "if part not in stands.parts and part.name in there:",
        "if False:",
        f"{_IDS_INDEX}::test_parts_of_files_that_went_go_with_them",
    ),
    Mutation(
        "index-sweeps: a part that is about to be named is left alone",
        code("table/ids/upkeep.py"),
        " and age_seconds > _LEFT_FOR.total_seconds()",
        "",
        f"{_IDS_INDEX}::test_what_a_writer_left_that_died_goes_after_an_hour",
    ),
    Mutation(
        "index-again: an index that can't be written is not tried for each question",
        code("explore/learning.py"),
        "self._clock.monotonic() >= self._not_before.get(snapshot.path, 0.0)",
        "True",
        f"{_LOOKING}::test_who_can_not_write_an_index_tries_again_later_and_fails_no_question",
    ),
    Mutation(
        "bloom-kind: a filter of another kind is not read as ours",
        code("table/bloom.py"),
        "head == _HEADER and ",
        "",
        "tests/unit/test_bloom.py::test_a_filter_of_another_kind_is_not_understood",
    ),
    Mutation(
        "bloom-lacking: a row group without a filter can't tell",
        code("table/bloom.py"),
        "or not chunk.bloom_filter_length:\n            return None",
        "or not chunk.bloom_filter_length:\n            continue",
        "tests/unit/test_bloom.py::test_a_file_without_filters_can_not_tell_and_one_without_ids_has_none",
    ),
    Mutation(
        "ids-literal: only texts tell which ids are wanted",
        code("explore/bounds.py"),
        "not all(isinstance(each, exp.Literal) and each.is_string",
        "not any(isinstance(each, exp.Literal) and each.is_string",
        f"{_LOOKING}::test_ids_are_those_that_a_condition_names_beyond_doubt",
    ),
)

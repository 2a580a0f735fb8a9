// The record file as the hook reads it, and the position that it keeps: lines that are taken are records and lie within the input, in order; read in pieces
// they are the same; a position that is read is the one that was written, and any other text is none.
#include "fuzz.hpp"

#include "observe/recorder.hpp"
#include "services/record_tail.hpp"

#include <cstdint>
#include <vector>

namespace posthorn::fuzz {

using namespace posthorn::services;

void fuzz_one(std::string_view input)
{
    if (const auto position = read_position(input)) {
        const std::string text = position_text(position->first, position->second);
        FUZZ_CHECK(input.starts_with(text));
        FUZZ_CHECK(read_position(text) == position);
    }
    const std::size_t most = 1 + input.size() % 4;
    std::vector<std::string> all;
    std::size_t at = 0;
    for (;;) {
        const std::string_view rest = input.substr(at);
        const RecordLines lines = record_lines(rest, most);
        FUZZ_CHECK(lines.records.size() <= most && lines.taken <= rest.size());
        for (const std::string_view record : lines.records) {
            FUZZ_CHECK(inside(record, rest.substr(0, lines.taken)));
            FUZZ_CHECK(observe::fit_for_record(record) && record.size() <= observe::record_octets);
            all.emplace_back(record);
        }
        if (lines.taken == 0)
            break;
        at += lines.taken;
    }
    const RecordLines whole = record_lines(input, SIZE_MAX);
    FUZZ_CHECK(whole.records.size() == all.size());
    for (std::size_t i = 0; i < all.size(); ++i)
        FUZZ_CHECK(whole.records[i] == all[i]);
}

}  // namespace posthorn::fuzz

// tables/fixed.hpp: tables of plain keys: texthash, inline, static, fail, environ. And how a fixed-string table compares keys.
#pragma once

#include "base/strings.hpp"
#include "tables/source.hpp"
#include "tables/table.hpp"

#include <unordered_map>

namespace posthorn::tables {

struct TextHash {
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    using is_transparent = void;
};
using Entries = std::unordered_map<std::string, std::string, TextHash, std::equal_to<>>;

struct KeyValue {
    std::string key, value;
    int line = 0;
};

/// One "key value" line as texthash and postmap read it. None: the line is left out, and a warning says why;
/// `ignoring` is what the warning ends with.
std::optional<KeyValue> parse_key_value(const LogicalLine& line, std::string_view file, Flags flags, Warnings& warnings,
                                        std::string_view ignoring = " -- ignoring this line");

/// The value of a table with file_values: the contents of the files it names (blanks or commas between), in base64.
Result<std::string> read_file_values(std::string_view names, FileOpener& opener);

/// Calls `find` with the key as the table compares it; a key that is not UTF-8 is not there where `flags.utf8`.
template <class Find>
Answer find_folded(std::string_view key, Flags flags, Find find)
{
    bool ascii = true, lower = true;
    for (const char c : key) {
        ascii &= static_cast<signed char>(c) >= 0;
        lower &= c < 'A' || c > 'Z';
    }
    if (ascii && (lower || !flags.fold)) [[likely]]
        return find(key);
    if (!ascii && flags.utf8 && !is_valid_utf8(key))
        return std::nullopt;
    if (!flags.fold)
        return find(key);
    const std::string folded = fold_key(key, flags.utf8);
    return find(std::string_view{folded});
}

std::shared_ptr<Table> open_texthash(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_inline(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_static(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_fail(std::string spec, std::string name, Flags flags, Tables& tables);
/// Refused: NIS is gone from the systems this runs on. The reason says what serves instead.
std::shared_ptr<Table> open_nis(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_environ(std::string spec, std::string name, Flags flags, Tables& tables);

}  // namespace posthorn::tables

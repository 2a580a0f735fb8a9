// exim/key_file.hpp: the text files that Exim looks into: "key: value" and plain lists.          Exim's specification, 9.3 (lsearch), 10.3 (lists)
// Shape    a key up to a colon or white space, or in quotes; a value that goes on in lines which begin with white space; lines that begin
//          with "#" do not count. Of two entries with one key the first is found.
// Trust    none: whatever the octets are, they are entries.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::exim {

struct KeyEntry {
    std::string key, value;
    int line = 0;
};

/// Keys in lower case (Exim folds them), each once, in the order of the file.
std::vector<KeyEntry> read_key_file(std::string_view text);
/// The lines of a file that a list names: `addresses`: "#" begins a comment only behind white space.
std::vector<std::string> read_list_file(std::string_view text, bool addresses);
/// What an alias says, cut at commas and line ends outside of quotes; empty pieces and comments left out.
std::vector<std::string> split_aliases(std::string_view value);

}  // namespace posthorn::exim

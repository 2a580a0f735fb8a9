// exim/lists.hpp: Exim's lists: split, and what each item is.          Exim's specification, 6.20 to 6.22 (the syntax), chapter 10 (the items)
// Shape    items between colons, or what "<c" at the front names; a doubled separator is one of the text's; white space around items does not
//          count; an empty last item is none. "!" before an item excludes.
// Trust    none: any octets are a list. What an item is, is told by its first characters, as Exim does.
#pragma once

#include "exim/expansion.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::exim {

/// The items as they are written, empty ones too (but for the last).
std::vector<std::string> split_list(std::string_view list);
/// A list that split_list() takes apart again; with a separator of its own where one is needed.
std::string join_list(const std::vector<std::string>& items);

struct ListItem {
    enum class Kind : std::uint8_t {
        text,              // compared as it is: a domain, a host name, a local part, an address
        everything,        // "*"
        suffix,            // "*tail"; text is the tail
        regex,             // "^..."
        file,              // "/path": its lines are items
        lookup,            // "lsearch;/path"
        named,             // "+name"
        self,              // "@"
        self_literal,      // "@[]"
        mail_exchanger,    // "@mx_any", "@mx_primary", "@mx_secondary", with what stands behind
        network,           // an address, with or without a mask; of hosts only
        nothing,           // an empty item
    };
    Kind kind = Kind::text;
    bool negated = false;
    std::string text;      // without "!", "+", "*"
    Lookup lookup;         // of Kind::lookup
    friend bool operator==(const ListItem& a, const ListItem& b) { return a.kind == b.kind && a.negated == b.negated && a.text == b.text; }
};

enum class ListOf { domains, hosts, addresses, local_parts };
ListItem classify(std::string_view item, ListOf what);
std::vector<ListItem> parse_items(std::string_view list, ListOf what);

/// "192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "2001:db8::1"; with host bits set the network they are in. None: no network.
std::optional<std::string> as_network(std::string_view text);

}  // namespace posthorn::exim

// tables/kinds.hpp: the kinds that are built in, listed by hand: no self-registering globals.
#pragma once

#include "tables/table.hpp"

#include <span>

namespace posthorn::tables {

struct Kind {
    std::string_view name;
    std::shared_ptr<Table> (*open)(std::string spec, std::string name, Flags, Tables&);
    const char* file_suffix;        // null: reads no file; else what is added to the name
    bool parameters_in_main_cf = false;    // "kind:name" reads none, "kind:/path" does
    std::vector<std::string> (*files)(std::string_view name) = nullptr;    // of a kind that reads others than its name says
};

std::span<const Kind> all_kinds();

}  // namespace posthorn::tables

// manual/pages.hpp: what a reader is told of each command, file and service. Texts are data; `render.hpp` gives them a form.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace posthorn::manual {

struct Option {
    std::string_view form, does;                 // "-c config_dir", "Where main.cf is."
};
struct Page {
    std::string_view name;
    int section;
    std::string_view summary;
    std::vector<std::string_view> synopsis, text;    // lines; paragraphs
    std::vector<Option> options;
    std::vector<Option> statuses;                    // exit status and what it means
    std::vector<std::string_view> parameters;        // names, or beginnings with "*"
    std::vector<std::string_view> see;
};

std::span<const Page> command_pages();
std::span<const Page> service_pages();

}  // namespace posthorn::manual

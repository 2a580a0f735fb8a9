#include "observe/address_form.hpp"

namespace posthorn::observe {

std::string with_internal_addresses(std::string_view line)
{
    static constexpr std::string_view opening = "=<\"";
    std::string out;
    for (std::size_t at = 0;;) {
        const std::size_t found = line.find(opening, at);
        if (found == line.npos)
            return out.append(line.substr(at));
        const std::string_view before = line.substr(0, found);
        const std::size_t start = found + opening.size();
        std::string local;
        std::size_t end = start;
        for (; end < line.size() && line[end] != '"'; ++end) {
            if (line[end] == '\\' && end + 1 < line.size())
                ++end;
            local += line[end];
        }
        const bool address =
            (before.ends_with("from") || before.ends_with("to")) && end + 1 < line.size() && (line[end + 1] == '@' || line[end + 1] == '>');
        if (address) {
            out.append(line.substr(at, found + 2 - at)).append(local);
            at = end + 1;
        } else {
            out.append(line.substr(at, start - at));
            at = start;
        }
    }
}

void AddressForm::write(Level level, std::string_view tag, std::string_view line)
{
    if (internal_.load(std::memory_order_relaxed) && line.find("=<\"") != line.npos)
        return below_->write(level, tag, with_internal_addresses(line));
    below_->write(level, tag, line);
}

}  // namespace posthorn::observe

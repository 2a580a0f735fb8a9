#include "deliver/fate.hpp"

#include "base/strings.hpp"

namespace posthorn::deliver {

namespace {
constexpr std::string_view letters = "DTB";               // by Fate::End
}  // namespace

std::string pack(const Fate& fate)
{
    std::string packed(1, letters[static_cast<std::size_t>(fate.end)]);
    for (const std::string* part : {&fate.status, &fate.action, &fate.text}) {
        packed += *part;
        packed += '\0';
    }
    return packed;
}

Fate unpack_fate(std::string_view packed)
{
    Fate fate;
    const std::size_t end = packed.empty() ? packed.npos : letters.find(packed.front());
    const auto parts = end == packed.npos ? std::vector<std::string_view>{} : split_exact(packed.substr(1), '\0');
    if (parts.size() != 4 || !parts.back().empty())
        return fate;
    fate.end = static_cast<Fate::End>(end);
    fate.status = parts[0];
    fate.action = parts[1];
    fate.text = parts[2];
    return fate;
}

}  // namespace posthorn::deliver

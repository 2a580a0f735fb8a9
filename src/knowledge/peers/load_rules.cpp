#include "base/fd.hpp"
#include "base/strings.hpp"
#include "peers/params.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace posthorn::peers {

namespace {

constexpr std::string_view shipped =
#include "peers/shipped_rules.inc"
    ;

Result<std::string> read_file(const std::string& path)
{
    const Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file)
        return system_error("open " + path, errno);
    std::string text(rule_file_octets + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ::ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
        if (got < 0)
            return system_error("read " + path, errno);
        if (got == 0)
            break;
        size += static_cast<std::size_t>(got);
    }
    text.resize(size);
    return text;
}

}  // namespace

std::shared_ptr<const Rules> load_rules(std::string_view files, std::vector<std::string>& troubles)
{
    auto rules = std::make_shared<Rules>();
    for (const std::string_view name : split(files, ", \t\n")) {
        Result<void> added;
        if (name == "shipped")
            added = rules->add(shipped, "the shipped peer_rules");
        else if (auto text = read_file(std::string(name)))
            added = rules->add(*text, name);
        else
            added = std::move(text).error();
        if (!added)
            troubles.push_back(fmt::format("smtp_peer_rules: {}: the file is not used", added.error().text()));
    }
    return rules->size() == 0 ? nullptr : rules;
}

}  // namespace posthorn::peers

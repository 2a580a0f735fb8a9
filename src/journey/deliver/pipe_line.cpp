#include "deliver/pipe_line.hpp"

#include "base/strings.hpp"
#include "config/expand.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace posthorn::deliver {

namespace {

constexpr auto of_the_recipient = std::to_array<std::string_view>({"recipient", "original_recipient", "user", "extension", "mailbox", "domain"});
constexpr auto of_the_mail =
    std::to_array<std::string_view>({"sender", "nexthop", "queue_id", "size", "envid", "client_address", "client_helo", "client_hostname",
                                     "client_port", "client_protocol", "sasl_method", "sasl_sender", "sasl_username"});

bool any_macro(std::string_view word, std::span<const std::string_view> of)
{
    bool found = false;
    config::names_in(word, [&](std::string_view name) { found = found || std::ranges::find(of, name) != of.end(); });
    return found;
}

/// \n \r \t \\ and octal \ooo, as in a C string.
Result<std::string> unescaped(std::string_view text)
{
    std::string made;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '\\') {
            made += text[at];
            continue;
        }
        if (++at == text.size())
            return Error{fmt::format("eol={}: nothing behind the last \\", text)};
        static constexpr std::string_view names = "abfnrtv\\", values = "\a\b\f\n\r\t\v\\";
        if (const auto known = names.find(text[at]); known != names.npos) {
            made += values[known];
            continue;
        }
        int value = 0, digits = 0;
        for (; digits < 3 && at < text.size() && text[at] >= '0' && text[at] <= '7'; ++at, ++digits)
            value = value * 8 + (text[at] - '0');
        if (digits == 0 || value > 255)
            return Error{fmt::format("eol={}: unknown escape", text)};
        --at;
        made += static_cast<char>(value);
    }
    return made;
}

Result<void> judge_word(std::string_view word)
{
    std::string unknown;
    config::names_in(word, [&](std::string_view name) {
        if (std::ranges::find(of_the_recipient, name) == of_the_recipient.end() && std::ranges::find(of_the_mail, name) == of_the_mail.end())
            unknown = name;
    });
    if (!unknown.empty())
        return Error{fmt::format("argv: unknown macro name: {}", unknown)};
    TRY_VOID(config::expand(word, [](std::string_view) { return std::optional<std::string_view>("x"); }));
    return {};
}

class Values {
public:
    Values(const PipeLine& line, const PipeMail& mail, const tables::Delimiter& delimiter) : line_(line), delimiter_(delimiter)
    {
        set("sender", mail.sender.empty() ? quoted(line.null_sender) : quoted(mail.sender));
        set("nexthop", line.has('h') ? to_lower(mail.nexthop) : mail.nexthop);
        set("queue_id", mail.queue_id);
        set("size", std::to_string(mail.size));
        set("envid", mail.envid);
        set("client_address", mail.client_address);
        set("client_helo", mail.client_helo);
        set("client_hostname", mail.client_name);
        set("client_port", mail.client_port);
        set("client_protocol", mail.client_protocol);
        set("sasl_method", mail.sasl_method);
        set("sasl_sender", mail.sasl_sender);
        set("sasl_username", mail.sasl_username);
    }

    void choose(const PipeMail::Person& person)
    {
        const std::string recipient = folded(person.address);
        const auto [local, domain, has_domain] = tables::split_address(recipient);
        const std::size_t at = tables::extension_at(local, delimiter_);
        set("recipient", quoted(recipient));
        set("original_recipient", quoted(folded(person.original.empty() ? person.address : person.original)));
        set("mailbox", local);
        set("user", local.substr(0, at));
        set("extension", at == local.npos ? std::string_view{} : local.substr(at + 1));
        set("domain", domain);
    }

    Result<std::string> expand(std::string_view word) const
    {
        return config::expand(word, [this](std::string_view name) -> std::optional<std::string_view> {
            const auto found = values_.find(name);
            return found == values_.end() ? std::nullopt : std::optional<std::string_view>(found->second);
        });
    }

private:
    void set(std::string_view name, std::string_view value) { values_.insert_or_assign(std::string(name), config::literal(value)); }
    std::string quoted(std::string_view address) const { return line_.has('q') ? smtp::external_address(address) : std::string(address); }
    std::string folded(std::string_view address) const
    {
        const std::size_t at = address.rfind('@');
        std::string local(address.substr(0, at)), domain(at == address.npos ? std::string_view{} : address.substr(at));
        return (line_.has('u') ? to_lower(local) : local) + (line_.has('h') ? to_lower(domain) : domain);
    }

    const PipeLine& line_;
    const tables::Delimiter& delimiter_;
    std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace

Result<PipeLine> parse_pipe_line(std::span<const std::string> arguments)
{
    PipeLine line;
    for (std::size_t at = 0; at < arguments.size() && line.words.empty(); ++at) {
        const std::string_view argument = arguments[at];
        const std::size_t equals = argument.find('=');
        const std::string_view name = argument.substr(0, equals), value = equals == argument.npos ? std::string_view{} : argument.substr(equals + 1);
        if (equals == argument.npos)
            return Error{fmt::format("unknown attribute: {}", argument)};
        if (name == "flags") {
            for (const char flag : value) {
                if (pipe_flags.find(flag) == pipe_flags.npos)
                    return Error{fmt::format("flags={}: unknown flag: {}", value, flag)};
                line.flags += flag;
            }
        } else if (name == "user") {
            const std::size_t colon = value.find(':');
            line.user = value.substr(0, colon);
            line.group = colon == value.npos ? std::string_view{} : value.substr(colon + 1);
            if (line.user.empty() || (colon != value.npos && line.group.empty()))
                return Error{fmt::format("bad user= value: {}", value)};
        } else if (name == "directory") {
            if (!value.starts_with('/'))
                return Error{fmt::format("directory={}: an absolute path is needed", value)};
            line.directory = value;
        } else if (name == "eol") {
            TRY(line.eol, unescaped(value));
        } else if (name == "null_sender") {
            line.null_sender = value;
        } else if (name == "size") {
            const auto limit = parse_number(value);
            if (!limit)
                return Error{fmt::format("size={}: not a number of octets", value)};
            line.size_limit = *limit;
        } else if (name == "chroot") {
            if (!value.starts_with('/'))
                return Error{fmt::format("chroot={}: an absolute path is needed", value)};
            line.root = value;
        } else if (name == "argv") {
            line.words.emplace_back(value);
            line.words.insert(line.words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1, arguments.end());
        } else {
            return Error{fmt::format("unknown attribute: {}", argument)};
        }
    }
    if (line.user.empty())
        return Error{"missing user= attribute"};
    if (line.words.empty() || line.words.front().empty())
        return Error{"missing argv= attribute"};
    for (const std::string& word : line.words)
        TRY_VOID(judge_word(word));
    return line;
}

Result<std::vector<std::string>> pipe_words(const PipeLine& line, const PipeMail& mail, const tables::Delimiter& delimiter, bool allow_minus)
{
    Values values(line, mail, delimiter);
    std::vector<std::string> words;
    const auto add = [&](std::string_view word) -> Result<void> {
        TRY(std::string made, values.expand(word));
        // A value with a NUL would end the word early.
        std::erase(made, '\0');
        if (!allow_minus && word.starts_with('$') && made.starts_with('-'))
            return Error{fmt::format("bad address syntax: \"{}\" would be an option of the command", printable(made)), "5.1.3"};
        words.push_back(std::move(made));
        return {};
    };
    for (const std::string& word : line.words) {
        if (!any_macro(word, of_the_recipient)) {
            TRY_VOID(add(word));
            continue;
        }
        for (const PipeMail::Person& person : mail.recipients) {
            values.choose(person);
            TRY_VOID(add(word));
        }
    }
    return words;
}

}  // namespace posthorn::deliver

#include "migrate/questions.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "migrate/quiet.hpp"
#include "tables/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace posthorn::migrate {

namespace {

constexpr std::string_view nobody = "no-such-user-here";
constexpr std::string_view outside_address = "198.51.100.25";        // RFC 5737: nobody's

std::string text_of(const config::Snapshot& snapshot, std::string_view name)
{
    try {
        return snapshot.text(name);
    } catch (const config::BadValue&) {
        return {};                                                 // said among the errors of the start
    }
}

std::string origin(const config::Snapshot& snapshot)
{
    std::string name = text_of(snapshot, "myorigin");
    if (name.starts_with('/')) {                                   // Debian's: the first line of that file
        const auto text = config::read_file(name);
        name = text ? std::string(trim(split_exact(*text, '\n').front())) : "";
    }
    return name.empty() ? text_of(snapshot, "myhostname") : name;
}

/// One address inside of mynetworks, the smallest of its first usable block.
Client inside(const config::Snapshot& snapshot)
{
    Client client;
    client.address = "127.0.0.1";
    for (const std::string_view piece : split(text_of(snapshot, "mynetworks"), ", \t\r\n")) {
        const std::size_t slash = piece.find('/');
        std::string_view address = piece.substr(0, slash);
        if (address.starts_with("127.") || address.find(':') != address.npos || address.empty() || !is_digit(address.front()))
            continue;
        client.address = address;
        if (address.ends_with(".0"))
            client.address.back() = '9';
        break;
    }
    return client;
}

class Maker {
public:
    Maker(const Survey& survey, QuestionOptions options) : survey_(survey), snapshot_(survey.snapshot), options_(options) {}

    Questions make()
    {
        const std::string home = origin(snapshot_);
        for (const char* list : {"mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"})
            for (const std::string& domain : domains(list)) {
                add("postmaster@" + domain);
                add(fmt::format("{}@{}", nobody, domain));
            }
        for (const TableState& table : survey_.tables)
            take(table);
        const std::string delimiter = text_of(snapshot_, "recipient_delimiter");
        add("postmaster");
        add("root");
        add(std::string(nobody));
        if (!delimiter.empty())
            add(fmt::format("postmaster{}extension@{}", delimiter.front(), home));
        add("someone@example.com");
        add("someone@sub.example.com");
        add("someone%example.com@" + home);
        add("example.com!someone@" + home);
        add("someone@[192.0.2.1]");
        add("\"two words\"@" + home);
        add("Mixed.Case@EXAMPLE.com");

        const Client outside{.name = "[UNAVAILABLE]", .address = std::string(outside_address)};
        const std::string own = "postmaster@" + home;
        for (const std::string& address : questions_.addresses) {
            rcpt(outside, "someone@example.org", address);
            rcpt(inside(snapshot_), own, address);
        }
        for (std::size_t i = 0; i < std::min<std::size_t>(questions_.addresses.size(), 5); ++i) {
            rcpt(outside, "", questions_.addresses[i]);
            rcpt(outside, own, questions_.addresses[i]);
            rcpt(outside, fmt::format("{}@{}", nobody, home), questions_.addresses[i]);
        }
        return std::move(questions_);
    }

private:
    void add(std::string address)
    {
        if (seen_.insert(address).second)
            questions_.addresses.push_back(std::move(address));
    }
    void rcpt(const Client& client, const std::string& sender, const std::string& recipient)
    {
        questions_.rcpts.push_back({.client = client, .sender = sender, .recipient = recipient});
    }

    std::vector<std::string> domains(std::string_view parameter) const
    {
        std::vector<std::string> found;
        for (const config::ListMember& member : config::parse_list(text_of(snapshot_, parameter)))
            if (member.kind == config::ListMember::Kind::text && !member.negated && member.text.find_first_of("{}=") == std::string::npos)
                found.push_back(member.text.starts_with('.') ? "sub" + member.text : member.text);
        return found;
    }

    /// The left-hand sides of a table that decides about addresses, made into addresses.
    void take(const TableState& state)
    {
        static constexpr std::array deciding{
            "virtual_alias_maps",      "virtual_mailbox_maps", "virtual_alias_domains",    "virtual_mailbox_domains", "alias_maps",
            "transport_maps",          "canonical_maps",       "recipient_canonical_maps", "sender_canonical_maps",   "relocated_maps",
            "relay_recipient_maps",    "relay_domains",        "local_recipient_maps",     "mydestination",           "smtpd_recipient_restrictions",
            "smtpd_relay_restrictions"};
        const auto uses = [&](const std::string& name) { return std::ranges::find(deciding, name) != deciding.end(); };
        if (!state.trouble.empty() || !std::ranges::any_of(state.used_by, uses))
            return;
        const bool aliases = std::ranges::find(state.used_by, "alias_maps") != state.used_by.end();
        static SystemClock clock;
        tables::open_libraries(state.spec);
        tables::Tables all(quiet_log(), clock);
        const auto table = all.open(state.spec);
        if (!table->in_memory())
            return;
        std::vector<std::string> keys;
        std::size_t count = 0;
        // An Error: such a table cannot be walked, and the other questions reach it all the same.
        (void)table->visit([&](std::string_view key, std::string_view) {
            if (key == "@" || key.starts_with("YP_"))
                return;
            if (++count <= options_.table_cap)
                keys.emplace_back(key);
        });
        if (count > options_.table_cap)
            questions_.capped.push_back(fmt::format("{}: {} of {} entries", state.spec, options_.table_cap, count));
        std::ranges::sort(keys);
        for (const std::string& key : keys)
            add(address_of(key, aliases));
    }

    static std::string address_of(const std::string& key, bool aliases)
    {
        if (aliases || key.find('@') == 0)
            return aliases ? key : "someone" + key;
        if (key.find('@') != key.npos)
            return key;
        if (key.starts_with('.'))
            return "someone@sub" + key;
        if (key == "*" || key.find('.') == key.npos)
            return key == "*" ? "someone@elsewhere.example" : key;
        return "someone@" + key;
    }

    const Survey& survey_;
    const config::Snapshot& snapshot_;
    QuestionOptions options_;
    Questions questions_;
    std::set<std::string> seen_;
};

}  // namespace

bool usable(std::string_view address)
{
    return !address.empty() && address.size() < 900 &&
           std::ranges::none_of(address, [](char c) { return c == '<' || c == '>' || static_cast<unsigned char>(c) < 32 || c == 127; });
}

Questions built_in_questions(const Survey& survey, QuestionOptions options)
{
    Questions made = Maker(survey, options).make();
    std::erase_if(made.addresses, [](const std::string& address) { return !usable(address); });
    std::erase_if(made.rcpts, [](const RcptQuestion& question) { return !usable(question.recipient); });
    return made;
}

Result<Questions> parse_questions(std::string_view text, std::string_view path, const Survey& survey)
{
    Questions questions;
    std::set<std::string> seen;
    const std::string own = "postmaster@" + origin(survey.snapshot);
    const Client outside{.name = "[UNAVAILABLE]", .address = std::string(outside_address)};
    int number = 0;
    for (const std::string_view line : split_exact(text, '\n')) {
        ++number;
        const auto wrong = [&](std::string_view what) {
            return Error{fmt::format("{}, line {}: {}: \"{}\"", path, number, what, printable(trim(line), true))};
        };
        if (trim(line).empty() || trim(line).starts_with('#'))
            continue;
        const auto words = split(line);
        if (words.size() != 1 && words.size() != 3)
            return wrong("one word (RECIPIENT) or three (CLIENT SENDER RECIPIENT) are expected");
        const std::string recipient(words.back());
        if (!usable(recipient))
            return wrong("bad recipient");
        if (seen.insert(recipient).second)
            questions.addresses.push_back(recipient);
        if (words.size() == 1) {
            questions.rcpts.push_back({.client = outside, .sender = "someone@example.org", .recipient = recipient});
            questions.rcpts.push_back({.client = inside(survey.snapshot), .sender = own, .recipient = recipient});
            continue;
        }
        RcptQuestion question{.client = {}, .sender = std::string(words[1]), .recipient = recipient};
        if (question.sender == "<>")
            question.sender.clear();
        else if (!usable(question.sender))
            return wrong("bad sender");
        const std::string_view client = words[0];
        const std::size_t bracket = client.find('[');
        if (bracket != client.npos && client.ends_with(']')) {
            question.client.name = client.substr(0, bracket);
            question.client.address = client.substr(bracket + 1, client.size() - bracket - 2);
        } else {
            question.client.address = client;
        }
        if (!config::parse_host_address(question.client.address) || question.client.address.find('/') != std::string::npos)
            return wrong("bad client address");
        questions.rcpts.push_back(std::move(question));
    }
    return questions;
}

}  // namespace posthorn::migrate

#include "exim/spool_message.hpp"

#include "base/strings.hpp"
#include "smtp/xtext.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace posthorn::exim {

namespace {

constexpr std::size_t recipients_limit = 1'000'000;

/// What goes into a command line or a log: no control characters.
bool is_plain(std::string_view text)
{
    return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
}

/// A name of Exim's for how a message came, in the words of RFC 3848 and 6531; empty: handed in on its own machine.
std::string protocol_words(std::string_view received)
{
    if (received.starts_with("local"))
        return {};
    if (received == "smtps" || received == "asmtp")                // of an SMTP without EHLO these words know no more
        return "SMTP";
    const bool utf8 = received.starts_with("utf8esmtp");           // UTF8SMTP, UTF8SMTPS ...
    return to_upper(utf8 ? "utf8" + std::string(received.substr(5)) : std::string(received));
}

/// "orcpt length,number" at the end of a recipient's line; what stands before it is left.
struct Tail {
    std::string_view text;
    std::int64_t number = 0;
};
std::optional<Tail> take_tail(std::string_view& line)
{
    const std::size_t comma = line.rfind(',');
    const std::size_t space = comma == line.npos ? line.npos : line.rfind(' ', comma);
    if (space == line.npos)
        return {};
    std::string_view digits = line.substr(comma + 1);
    const bool negative = digits.starts_with('-');
    const auto number = parse_number(digits.substr(negative ? 1 : 0));
    const auto length = parse_number(line.substr(space + 1, comma - space - 1));
    if (!number || *number > 0x7FFFFFFF || !length || *length + 1 > space || line[space - *length - 1] != ' ')
        return {};
    const Tail tail{line.substr(space - *length, *length), negative ? -static_cast<std::int64_t>(*number) : static_cast<std::int64_t>(*number)};
    line = line.substr(0, space - *length - 1);
    return tail;
}

class HeadReader {
public:
    HeadReader(std::string_view id, const SpoolFiles& files) : id_(id), text_(files.head), journal_(files.journal), log_(files.log) {}

    Result<void> read()
    {
        TRY(const auto name, line());
        if (name != fmt::format("{}-H", id_))
            return wrong("it names another message");
        TRY_VOID(submitter());
        TRY_VOID(sender());
        TRY_VOID(arrival());
        TRY_VOID(variables());
        TRY_VOID(tree());
        TRY_VOID(journal());
        TRY_VOID(recipients());
        TRY(const auto between, line());
        if (!between.empty())
            return wrong("no empty line before the header");
        TRY_VOID(header());
        return told_apart();
    }

    SpoolMessage message;
    std::string header_text;  // what of it is sent

private:
    Error wrong(std::string_view what) const { return Error{fmt::format("{}-H, line {}: {}", id_, number_, what)}; }
    handoff::Envelope& envelope() { return message.envelope; }

    Result<std::string_view> line()
    {
        ++number_;
        const std::size_t end = text_.find('\n', at_);
        if (end == text_.npos)
            return wrong("cut short");
        const std::string_view found = text_.substr(at_, end - at_);
        at_ = end + 1;
        return found;
    }

    // ---- The envelope

    Result<void> submitter()
    {
        TRY(const auto text, line());
        const auto words = split(text, " ");
        const auto uid = words.size() < 3 ? std::nullopt : parse_number(words[words.size() - 2]);
        if (!uid || *uid > 0xFFFFFFFF || !parse_number(words.back()))
            return wrong("no \"login uid gid\"");
        envelope().set_submitter(static_cast<std::uint32_t>(*uid));
        return {};
    }

    Result<void> sender()
    {
        TRY(const auto text, line());
        if (text.size() < 2 || !text.starts_with('<') || !text.ends_with('>') || !is_plain(text))
            return wrong("a bad sender");
        envelope().set_sender(std::string(text.substr(1, text.size() - 2)));
        return {};
    }

    Result<void> arrival()
    {
        TRY(const auto text, line());
        const auto words = split(text, " ");
        const auto seconds = words.empty() ? std::nullopt : parse_number(words[0]);
        if (!seconds || *seconds == 0 || *seconds > 1'000'000'000'000)
            return wrong("a bad arrival time");
        envelope().set_arrival(static_cast<std::int64_t>(*seconds * 1'000'000));
        return {};
    }

    Result<void> variables()
    {
        while (at_ < text_.size() && text_[at_] == '-') {
            TRY(auto text, line());
            text.remove_prefix(text.starts_with("--") ? 2 : 1);
            // "--(mysql)name": quoted for that lookup.
            if (const std::size_t close = text.find(')'); text.starts_with('(') && close != text.npos)
                text.remove_prefix(close + 1);
            const std::size_t space = text.find(' ');
            const std::string_view name = text.substr(0, space), value = space == text.npos ? std::string_view{} : text.substr(space + 1);
            const bool is_acl = name == "acl" || name == "aclc" || name == "aclm";
            TRY_VOID(is_acl ? pass_over(value) : variable(name, value));
        }
        return {};
    }

    /// "name length": so many octets and a line end follow.
    Result<void> pass_over(std::string_view value)
    {
        const std::size_t space = value.rfind(' ');
        const auto length = space == value.npos ? std::nullopt : parse_number(value.substr(space + 1));
        if (!length || *length >= text_.size() - at_ || text_[at_ + *length] != '\n')
            return wrong("an ACL variable that is not as long as it says");
        number_ += static_cast<std::size_t>(std::ranges::count(text_.substr(at_, *length + 1), '\n'));
        at_ += *length + 1;
        return {};
    }

    Result<void> variable(std::string_view name, std::string_view value)
    {
        handoff::Client& client = *envelope().mutable_client();
#ifndef POSTHORN_PLANT_BUG_exim_spool  // what would break a log line (scripts/fuzz-planted)
        const std::string text(is_plain(value) ? value : std::string_view{});
#else
        const std::string text(value);
#endif
        if (name == "frozen")
            message.frozen = true;
        else if (name == "smtputf8")
            envelope().set_smtputf8(true);
        else if (name == "dsn_envid")
            envelope().set_envid(decoded(text));
        else if (name == "dsn_ret")
            envelope().set_ret(text == "1" ? handoff::RET_FULL : text == "2" ? handoff::RET_HDRS : handoff::RET_UNSPECIFIED);
        else if (name == "received_time_usec")
            micro(value);
        else if (name == "received_protocol")
            client.set_protocol(protocol_words(text));
        else if (name == "helo_name")
            client.set_helo(text);
        else if (name == "host_name")
            client.set_name(text);
        else if (name == "auth_id")
            client.set_sasl_username(text);
        else if (name == "auth_sender")
            client.set_sasl_sender(text);
        else if (name == "host_auth")
            client.set_sasl_method(text);
        else if (name == "host_address" || name == "interface_address")
            return host(client, name == "host_address", value);
        return {};
    }

    static std::string decoded(const std::string& xtext)
    {
        const auto plain = smtp::xtext_decode(xtext);
        return plain && smtp::is_printable_ascii(*plain) ? *plain : std::string{};
    }

    /// ".123456"
    void micro(std::string_view value)
    {
        const auto read = value.size() == 7 && value.starts_with('.') ? parse_number(value.substr(1)) : std::nullopt;
        if (read)
            envelope().set_arrival(envelope().arrival() / 1'000'000 * 1'000'000 + static_cast<std::int64_t>(*read));
    }

    /// "[192.0.2.1]:25", "192.0.2.1.25", and IPv6 likewise.
    Result<void> host(handoff::Client& client, bool theirs, std::string_view value)
    {
        const std::size_t mark = value.starts_with('[') ? value.rfind("]:") : value.rfind('.');
        const bool brackets = value.starts_with('[');
        const auto port = mark == value.npos ? std::nullopt : parse_number(value.substr(mark + (brackets ? 2 : 1)));
        if (!port || *port > 65535 || !is_plain(value))
            return wrong("a bad host address");
        const std::string address(value.substr(brackets ? 1 : 0, mark - (brackets ? 1 : 0)));
        if (theirs) {
            client.set_address(address);
            client.set_port(static_cast<std::uint32_t>(*port));
        } else {
            client.set_server_address(address);
            client.set_server_port(static_cast<std::uint32_t>(*port));
        }
        return {};
    }

    // ---- Who has it, who has not

    /// The nodes stand in the order of a walk, so that how many are still to come is all that has to be known of the branches.
    Result<void> tree()
    {
        std::size_t to_come = 1;
        while (to_come > 0) {
            TRY(const auto node, line());
            if (node == "XX" && done_.empty() && to_come == 1)
                return {};
            if (node.size() < 4 || node[2] != ' ' || (node[0] != 'Y' && node[0] != 'N') || (node[1] != 'Y' && node[1] != 'N'))
                return wrong("a bad list of those who have it");
            --to_come;
            to_come += static_cast<std::size_t>(std::ranges::count(node.substr(0, 2), 'Y'));
            done_.insert(node.substr(3));
        }
        return {};
    }

    Result<void> journal()
    {
        std::string_view rest = journal_;
        while (!rest.empty()) {
            const std::size_t end = rest.find('\n');
            const std::string_view address = rest.substr(0, end);
            rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
            if (!address.empty())
                done_.insert(address);
        }
        return {};
    }

    Result<void> recipients()
    {
        TRY(const auto text, line());
        const auto count = parse_number(text);
        if (!count || *count > recipients_limit)
            return wrong("a bad number of recipients");
        for (std::uint64_t i = 0; i < *count; ++i) {
            TRY(const auto one, line());
            TRY_VOID(recipient(one));
        }
        return {};
    }

    Result<void> recipient(std::string_view text)
    {
        Tail errors_to, orcpt;
        const std::size_t last = text.find_last_not_of("0123456789");
        if (last != text.npos && last + 1 < text.size() && (text[last] == '#' || text[last] == ' ' || text[last] == ',')) {
            const auto flags = text[last] == '#' ? parse_number(text.substr(last + 1)) : std::nullopt;
            if (!flags || *flags == 0 || *flags > 3)
                return wrong("a recipient in a form that is not known");
            text = text.substr(0, last);
            for (const auto& [bit, tail] : {std::pair{1U, &errors_to}, std::pair{2U, &orcpt}}) {
                if ((*flags & bit) == 0)
                    continue;
                const auto found = take_tail(text);
                if (!found)
                    return wrong("a bad recipient");
                *tail = *found;
            }
        }
        if (text.empty() || !is_plain(text))
            return wrong("a bad recipient");
        all_.push_back(text);
        if (done_.contains(text)) {
            ++message.done;
            return {};
        }
        if (!errors_to.text.empty() && errors_to.text != envelope().sender())
            return wrong(fmt::format("{} has a sender of its own, {}", printable(text), printable(errors_to.text)));
        open(text, orcpt);
        return {};
    }

    void open(std::string_view address, const Tail& orcpt)
    {
        handoff::Recipient& one = *envelope().add_recipients();
        one.set_index(static_cast<std::uint32_t>(envelope().recipients_size() - 1));
        one.set_address(std::string(address));
        if (is_plain(orcpt.text))
            one.set_orcpt(decoded(std::string(orcpt.text)));
        // 1: reports of success have been left to the next host.
        for (const auto& [bit, notify] : {std::pair{2, handoff::NOTIFY_NEVER}, std::pair{4, handoff::NOTIFY_SUCCESS},
                                          std::pair{8, handoff::NOTIFY_FAILURE}, std::pair{16, handoff::NOTIFY_DELAY}})
            if ((orcpt.number & bit) != 0)
                one.set_notify(one.notify() | static_cast<std::uint32_t>(notify));
    }

    // ---- The header

    Result<void> header()
    {
        while (at_ < text_.size()) {
            std::size_t length = 0;
            const std::size_t start = at_;
            while (at_ < text_.size() && is_digit(text_[at_]) && at_ - start < 9)
                length = length * 10 + static_cast<std::size_t>(text_[at_++] - '0');
            ++number_;
            if (at_ == start || text_.size() - at_ < 2 || text_[at_ + 1] != ' ' || length > text_.size() - at_ - 2 || length == 0 ||
                text_[at_ + 1 + length] != '\n')
                return wrong("a header field that is not as long as it says");
            const std::string_view field = text_.substr(at_ + 2, length);
            if (text_[at_] != '*')
                header_text += field;
            number_ += static_cast<std::size_t>(std::ranges::count(field, '\n')) - 1;
            at_ += 2 + length;
        }
        return {};
    }

    // ---- Those who were made of a recipient

    /// Whether Exim put down others than recipients: those whom one led to. A domain may stand in other letters than the recipient's.
    bool led_elsewhere() const
    {
        std::set<std::string> known;
        for (const std::string_view one : all_)
            known.insert(to_lower(one));
        return std::ranges::any_of(done_, [&](std::string_view one) { return !known.contains(to_lower(one)); });
    }

    /// Whom a line of the message log is about: "DATE TIME [ZONE] [=>] address [(parent)] [<recipient>]...".
    struct Told {
        std::string_view address, recipient;  // recipient: that led there; empty: the address is one itself
    };
    static std::optional<Told> told(std::string_view line)
    {
        const auto words = split(line, " ");
        std::size_t at = 2;
        if (at < words.size() && (words[at].starts_with('+') || words[at].starts_with('-')) && is_digit(words[at].back()))
            ++at;
        if (at < words.size() && words[at].size() == 2 && !is_alnum(words[at][0]))  // => -> >> ** ==
            ++at;
        if (at >= words.size())
            return {};
        const auto without_colon = [](std::string_view word) { return word.ends_with(':') ? word.substr(0, word.size() - 1) : word; };
        Told found{.address = without_colon(words[at++]), .recipient = {}};
        if (at < words.size() && words[at].starts_with('('))
            ++at;
        if (const std::string_view last = at < words.size() ? without_colon(words[at]) : std::string_view{};
            last.starts_with('<') && last.ends_with('>'))
            found.recipient = last.substr(1, last.size() - 2);
        return found;
    }

    /// Of an open recipient nobody may have the message: who is left of those whom it led to is in Exim's routers, not here.
    Result<void> told_apart() const
    {
        if (message.envelope.recipients_size() == 0 || !led_elsewhere())
            return {};
        std::vector<Told> lines;
        for (const std::string_view line : split(log_, "\n"))
            if (const auto one = told(line))
                lines.push_back(*one);
        for (const handoff::Recipient& one : message.envelope.recipients())
            TRY_VOID(stands_alone(one.address(), lines));
        return {};
    }

    /// It led nowhere, or to one who has not got it.
    Result<void> stands_alone(std::string_view recipient, const std::vector<Told>& lines) const
    {
        std::set<std::string> to;
        bool itself = false, one_has_it = false;
        for (const Told& line : lines) {
            itself = itself || (line.recipient.empty() && iequals(line.address, recipient));
            if (!iequals(line.recipient, recipient))
                continue;
            to.insert(to_lower(line.address));
            one_has_it = one_has_it || done_.contains(line.address);
        }
        const std::string what = one_has_it || to.size() > 1
                                     ? fmt::format("{} led to several, some of whom have it", printable(recipient))
                                     : fmt::format("whether {} led to those who have it is not in the message log", printable(recipient));
        if (one_has_it || to.size() > 1 || (to.empty() && !itself))
            return Error{fmt::format("{}-H: {}: let Exim bring it to the others (exim -M {})", id_, what, id_)};
        return {};
    }

    std::string_view id_, text_, journal_, log_;
    std::size_t at_ = 0, number_ = 0;
    std::set<std::string_view> done_;
    std::vector<std::string_view> all_;
};

/// Lines however they end. A last one without its end gets one, as on the way out.
Result<void> give_lines(std::string_view text, const migrate::TakeContent& content)
{
    constexpr std::size_t piece_octets = 64 * 1024;
    std::string piece;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        piece.append(line).append("\r\n");
        if (piece.size() >= piece_octets || text.empty()) {
            TRY_VOID(content(piece));
            piece.clear();
        }
    }
    return {};
}

bool is_base62(std::string_view text)
{
    return std::ranges::all_of(text, [](char c) { return is_alnum(c); });
}

}  // namespace

bool is_message_id(std::string_view text)
{
    const auto parts = split_exact(text, '-');
    if (parts.size() != 3 || !std::ranges::all_of(parts, is_base62) || parts[0].size() != 6)
        return false;
    return (parts[1].size() == 6 && parts[2].size() == 2) || (parts[1].size() == 11 && parts[2].size() == 4);
}

Result<SpoolMessage> read_spool_message(std::string_view id, const SpoolFiles& files, const migrate::TakeContent& content)
{
    HeadReader head(id, files);
    TRY_VOID(head.read());
    const std::string name = fmt::format("{}-D\n", id);
    if (!files.data.starts_with(name))
        return Error{fmt::format("{}-D: it names another message", id)};
    handoff::Envelope& envelope = head.message.envelope;
    const migrate::TakeContent counted = [&](std::string_view octets) -> Result<void> {
        envelope.set_size(envelope.size() + octets.size());
        if (!is_ascii(octets))
            envelope.set_body(handoff::BODY_8BIT);
        return content(octets);
    };
    TRY_VOID(give_lines(head.header_text, counted));
    TRY_VOID(counted("\r\n"));
    TRY_VOID(give_lines(files.data.substr(name.size()), counted));
    return std::move(head.message);
}

}  // namespace posthorn::exim

#include "submit/sendmail_options.hpp"

#include "base/strings.hpp"
#include "smtp/xtext.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::submit {

namespace {

constexpr std::string_view known = sendmail_letters;

Error usage(std::string text) { return Error{std::move(text), "5.5.4"}; }

class Parser {
public:
    Parser(std::string_view command, std::span<const std::string_view> words) : words_(words)
    {
        if (command == "mailq")
            options_.mode = SendmailOptions::Mode::list_queue;
        else if (command == "newaliases")
            options_.mode = SendmailOptions::Mode::new_aliases;
    }

    Result<SendmailOptions> parse()
    {
        for (at_ = 0; at_ < words_.size(); ++at_) {
            const std::string_view word = words_[at_];
            if (word == "--") {
                ++at_;
                break;
            }
            if (!word.starts_with('-') || word.size() < 2)
                break;
            if (word == "-q") {                                    // its value may be missing
                options_.mode = SendmailOptions::Mode::flush;
                continue;
            }
            TRY_VOID(group(word.substr(1)));
        }
        for (; at_ < words_.size(); ++at_)
            options_.recipients.emplace_back(words_[at_]);
        TRY_VOID(judge());
        return std::move(options_);
    }

private:
    Result<void> group(std::string_view letters)
    {
        while (!letters.empty()) {
            const char letter = letters.front();
            letters.remove_prefix(1);
            const std::size_t found = letter == ':' ? known.npos : known.find(letter);
            if (found == known.npos)
                return usage(fmt::format("unknown option: -{}", printable(std::string_view(&letter, 1))));
            if (found + 1 == known.size() || known[found + 1] != ':') {
                flag(letter);
                continue;
            }
            std::string_view value = letters;
            if (value.empty()) {
                if (at_ + 1 >= words_.size())
                    return usage(fmt::format("option -{} needs a value", letter));
                value = words_[++at_];
            }
            return with_value(letter, value);
        }
        return {};
    }

    void flag(char letter)
    {
        switch (letter) {
        case 'I': options_.mode = SendmailOptions::Mode::new_aliases; break;
        case 'i': options_.dot_ends = false; break;
        case 't': options_.recipients_from_header = true; break;
        case 'v': ++options_.verbose; break;
        default: options_.ignored.push_back(fmt::format("-{}", letter));
        }
    }

    Result<void> with_value(char letter, std::string_view value)
    {
        switch (letter) {
        case 'B':
            if (iequals(value, "7BIT"))
                options_.body = handoff::BODY_7BIT;
            else if (iequals(value, "8BITMIME"))
                options_.body = handoff::BODY_8BIT;
            else
                return usage(fmt::format("-B needs 7BIT or 8BITMIME, not \"{}\"", printable(value)));
            return {};
        case 'C': options_.config = value; return {};
        case 'F': options_.full_name = value; return {};
        case 'N':
            if (const auto bits = parse_notify(value))
                options_.notify = *bits;
            else
                return usage(fmt::format("bad -N option value: {}", printable(value)));
            return {};
        case 'O': return option(value);
        case 'R':
            if (iequals(value, "full"))
                options_.ret = handoff::RET_FULL;
            else if (iequals(value, "hdrs"))
                options_.ret = handoff::RET_HDRS;
            else
                return usage(fmt::format("bad -R option value: {}", printable(value)));
            return {};
        case 'V': {
            const auto decoded = smtp::xtext_decode(value);
            if (!decoded || decoded->size() > 100 || !smtp::is_printable_ascii(*decoded))
                return usage(fmt::format("bad -V option value: {}", printable(value)));
            options_.envid = *decoded;
            return {};
        }
        case 'b': return mode(value);
        case 'f':
        case 'r': options_.sender = value == "<>" ? std::string_view{} : value; return {};
        case 'o':
            if (value == "i")
                options_.dot_ends = false;
            else if (value.starts_with('A'))
                options_.alias_databases.emplace_back(value.substr(1));
            else
                options_.ignored.push_back(fmt::format("-o{}", value));
            return {};
        case 'X':
            if (value.starts_with('V')) {
                options_.verp = value.substr(1);
                return {};
            }
            options_.ignored.push_back(fmt::format("-X{}", value));
            return {};
        case 'q':
            if (value.starts_with('S'))
                return usage("-qS is not implemented");
            if (value.starts_with('R') || value.starts_with('I')) {
                if (value.size() == 1)
                    return usage(value == "R" ? "specify: -qRsitename" : "specify: -qIqueueid");
                options_.mode = value.front() == 'I' ? SendmailOptions::Mode::flush_id : SendmailOptions::Mode::flush_site;
                options_.site_or_id = value.substr(1);
            } else if (is_digit(value.front()) || value == "f" || value == "p") {
                options_.ignored.push_back(fmt::format("-q{}", value));          // an interval for a daemon; without one, the queue is run once
                if (is_digit(value.front()) && options_.mode == SendmailOptions::Mode::submit)
                    options_.mode = SendmailOptions::Mode::flush;
            } else {
                return usage(fmt::format("-q{} is not offered", printable(value)));
            }
            return {};
        default: options_.ignored.push_back(fmt::format("-{}{}", letter, value)); return {};
        }
    }

    Result<void> mode(std::string_view value)
    {
        using Mode = SendmailOptions::Mode;
        if (value == "m")
            options_.mode = Mode::submit;
        else if (value == "v")
            options_.purpose = handoff::PURPOSE_VERIFY_ADDRESS;
        else if (value == "d" || value == "l")
            options_.mode = Mode::daemon;
        else if (value == "i")
            options_.mode = Mode::new_aliases;
        else if (value == "p")
            options_.mode = Mode::list_queue;
        else if (value == "s")
            options_.mode = Mode::smtp_dialogue;
        else if (value == "h" || value == "H")
            options_.ignored.push_back(fmt::format("-b{}", value));              // a host status database, which is not kept
        else
            return usage(fmt::format("unsupported: -b{}", printable(value)));
        return {};
    }

    Result<void> option(std::string_view value)
    {
        const std::size_t equals = value.find('=');
        const std::string_view name = value.substr(0, equals), setting = equals == value.npos ? "" : value.substr(equals + 1);
        for (const auto& [own, flag] : {std::pair<std::string_view, bool*>{"smtputf8", &options_.smtputf8}, {"requiretls", &options_.requiretls}}) {
            if (!iequals(name, own))
                continue;
            if (!iequals(setting, "yes") && !iequals(setting, "no"))
                return usage(fmt::format("bad -O option value: {}", printable(value)));
            *flag = iequals(setting, "yes");
            return {};
        }
        if (iequals(name, "holdfor") || iequals(name, "holduntil")) {
            options_.hold = iequals(name, "holdfor") ? smtp::parse_hold_for(setting) : smtp::parse_hold_until(setting);
            if (!options_.hold)
                return usage(fmt::format("bad -O option value: {}", printable(value)));
            return {};
        }
        options_.ignored.push_back(fmt::format("-O{}", value));
        return {};
    }

    Result<void> judge()
    {
        const bool probe = options_.purpose == handoff::PURPOSE_VERIFY_ADDRESS;
        if (probe && (options_.recipients_from_header || options_.notify != 0 || options_.ret != handoff::RET_UNSPECIFIED || options_.verbose > 0))
            return usage("-bv cannot be used with -t, -N, -R or -v");
        using Mode = SendmailOptions::Mode;
        if (options_.mode != Mode::submit && options_.recipients_from_header)
            return usage("-t can be used only in delivery mode");
        if (options_.mode == Mode::smtp_dialogue && !options_.recipients.empty())
            return usage("stand-alone mode requires no recipient");
        if ((options_.mode == Mode::flush_site || options_.mode == Mode::flush_id) && !options_.recipients.empty())
            return usage("flush site requires no recipient");
        if (options_.mode == Mode::submit) {
            // Once: a report of the delivery. Twice: only more talk.
            if (options_.verbose == 1)
                options_.purpose = handoff::PURPOSE_RECORD_DELIVERY;
            if (!options_.recipients_from_header && options_.recipients.empty())
                return usage("Recipient addresses must be specified on the command line or via the -t option");
        }
        return {};
    }

    std::span<const std::string_view> words_;
    std::size_t at_ = 0;
    SendmailOptions options_;
};

}  // namespace

std::optional<std::uint32_t> parse_notify(std::string_view text)
{
    std::uint32_t bits = 0;
    for (const std::string_view word : split(text, ", \t")) {
        if (iequals(word, "never"))
            bits |= handoff::NOTIFY_NEVER;
        else if (iequals(word, "success"))
            bits |= handoff::NOTIFY_SUCCESS;
        else if (iequals(word, "failure"))
            bits |= handoff::NOTIFY_FAILURE;
        else if (iequals(word, "delay"))
            bits |= handoff::NOTIFY_DELAY;
        else
            return {};
    }
    // RFC 3461 4.1: NEVER stands alone.
    if (bits == 0 || ((bits & handoff::NOTIFY_NEVER) && bits != handoff::NOTIFY_NEVER))
        return {};
    return bits;
}

Result<SendmailOptions> parse_sendmail_options(std::string_view command, std::span<const std::string_view> words)
{
    return Parser(command, words).parse();
}

std::string without_controls(std::string_view name)
{
    std::string clean(name);
    std::ranges::replace_if(clean, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return clean;
}

std::string name_of_account(std::string_view gecos, std::string_view login)
{
    std::string name;
    for (const char c : gecos.substr(0, gecos.find(',')))
        if (c != '&')
            name += c;
        else if (!login.empty())
            (name += ascii_upper(login.front())) += login.substr(1);
    return name;
}

}  // namespace posthorn::submit

// What local delivery reads of others: aliases, .forward and :include: files, the line of a pipe service, addresses on their way into a command. What
// is read is one line each and reads back as itself; no address becomes a word more or less, or an option; the pieces of a message do not matter.
#include "fuzz.hpp"

#include "deliver/fate.hpp"
#include "deliver/local_words.hpp"
#include "deliver/pipe_line.hpp"
#include "deliver/targets.hpp"
#include "deliver/user_file.hpp"
#include "deliver/written.hpp"

#include "base/strings.hpp"

#include <vector>

namespace posthorn::fuzz {

using namespace posthorn::deliver;

namespace {

std::string quoted(std::string_view text)
{
    std::string made = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            made += '\\';
        made += c;
    }
    return made + "\"";
}

void targets(std::string_view input)
{
    const auto found = parse_targets(input);
    if (!found)
        return;
    for (const Target& target : *found) {
        FUZZ_CHECK(!target.value.empty());
        FUZZ_CHECK(target.value.find('\0') == target.value.npos);
        if (target.kind == Target::Kind::address)
            continue;
        FUZZ_CHECK(target.value.find('\n') == target.value.npos);
        const std::string_view before = target.kind == Target::Kind::command ? "|" : target.kind == Target::Kind::include ? ":include:" : "";
        const auto again = parse_targets(quoted(std::string(before) + target.value));
        FUZZ_CHECK(again && again->size() == 1 && again->front() == target);
    }
}

void words(std::string_view input)
{
    std::vector<std::string> arguments;
    const std::size_t end = input.find('\n');
    for (const std::string_view word : split_exact(input.substr(0, end), ' '))
        arguments.emplace_back(word);
    const auto line = parse_pipe_line(arguments);
    if (!line)
        return;
    const std::string_view rest = end == input.npos ? std::string_view{} : input.substr(end + 1);
    PipeMail mail;
    mail.sender = mail.nexthop = mail.envid = mail.client_helo = rest;
    mail.recipients = {{std::string(rest), ""}, {"b@x.test", std::string(rest)}};
    const tables::Delimiter plus{.characters = "+-"};
    for (const bool allow : {false, true}) {
        const auto made = pipe_words(*line, mail, plus, allow);
        if (!made)
            continue;
        FUZZ_CHECK(made->size() >= line->words.size() && made->size() <= 2 * line->words.size());
        for (const std::string& word : *made)
            FUZZ_CHECK(word.find('\0') == word.npos);
        PipeMail fixed = mail;
        fixed.sender = fixed.nexthop = fixed.envid = fixed.client_helo = "x";
        fixed.recipients = {{"a@x.test", ""}, {"b@x.test", ""}};
        if (const auto other = pipe_words(*line, fixed, plus, true))
            FUZZ_CHECK(other->size() == made->size());
    }
    const LocalNames names{{"user", std::string(rest)}, {"extension", std::string(rest)}, {"home", "/h"}};
    if (const auto path = expand_names(input.substr(0, end), names, "ab/"); path && *path)
        (void)command_words(**path, rest);
}

void written(std::string_view input)
{
    Choices choices(input);
    const std::uint8_t flags = choices.octet(), seed = choices.octet();
    const WrittenOptions how{.from_line = (flags & 1) != 0,
                             .return_path = true,
                             .original_to = true,
                             .delivered_to = (flags & 2) != 0,
                             .quote_from = (flags & 4) != 0,
                             .dots = (flags & 8) != 0,
                             .blank_end = (flags & 16) != 0};
    const WrittenNames names{std::string(input.substr(0, 20)), std::string(input.substr(0, 30)), std::string(input.substr(0, 40)), WallTime{}};
    std::string head, whole, parts;
    Written one(how, names), other(how, names);
    one.head(head);
    FUZZ_CHECK(static_cast<std::size_t>(std::ranges::count(head, '\n')) == 2U + how.from_line + how.delivered_to - names.original.empty());
    one.feed(input, whole);
    one.end(whole);
    in_pieces(input, seed, [&](std::string_view piece) {
        other.feed(piece, parts);
        return true;
    });
    other.end(parts);
    FUZZ_CHECK(whole == parts);
    FUZZ_CHECK(whole.empty() || whole.ends_with('\n'));
    if (how.quote_from)
        FUZZ_CHECK(!whole.starts_with("From ") && whole.find("\nFrom ") == whole.npos);
    (void)unpack_fate(input);
    (void)unpack_file(input);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices(input);
    switch (choices.octet() % 3) {
    case 0: return targets(input);
    case 1: return words(input);
    default: return written(input);
    }
}

}  // namespace posthorn::fuzz

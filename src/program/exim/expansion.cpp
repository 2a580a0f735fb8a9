#include "exim/expansion.hpp"

#include "base/strings.hpp"
#include "exim/key_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::exim {

namespace {

constexpr int deepest_expansion = 50;

bool in_word(char c) { return is_alnum(c) || c == '_'; }

Error no_expansion(std::string_view text) { return Error{fmt::format("not an expansion: {}", printable(text.substr(0, 60), true))}; }

/// Behind the brace that closes the one at `at`. npos: none does.
std::size_t behind_brace(std::string_view text, std::size_t at)
{
    int depth = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) {
            ++i;
            if (text[i] == 'N') {                                  // "\N...\N": as it is, but for braces around it
                const std::size_t end = text.find("\\N", i + 1);
                if (end == text.npos)
                    return text.npos;
                i = end + 1;
            }
        } else if (text[i] == '{') {
            ++depth;
        } else if (text[i] == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return text.npos;
}

/// The inside of "${...}" taken apart.
Piece item(std::string_view whole)
{
    Piece piece{.kind = Piece::Kind::item, .text = std::string(whole), .word = {}, .bare = {}, .arguments = {}};
    std::string_view inside = trim(whole.substr(2, whole.size() - 3));
    std::size_t end = 0;
    while (end < inside.size() && in_word(inside[end]))
        ++end;
    piece.word = inside.substr(0, end);
    std::string_view rest = inside.substr(end);
    if (rest.empty()) {
        piece.kind = Piece::Kind::variable;
        piece.text = piece.word;
        return piece;
    }
    if (rest.starts_with(':')) {
        piece.arguments.emplace_back(trim(rest.substr(1)));
        return piece;
    }
    while (!(rest = trim(rest)).empty()) {
        const std::size_t closed = rest.front() == '{' ? behind_brace(rest, 0) : rest.npos;
        if (closed != rest.npos) {
            piece.arguments.emplace_back(rest.substr(1, closed - 2));
            rest = rest.substr(closed);
            continue;
        }
        const std::size_t next = std::min(rest.find('{', 1), rest.size());
        const std::string_view bare = trim(rest.substr(0, next));
        rest = rest.substr(next);
        if (rest.empty() && bare == "fail")
            piece.fails = true;
        else
            piece.bare += bare;
    }
    return piece;
}

void add_text(std::vector<Piece>& pieces, std::string_view text)
{
    if (pieces.empty() || pieces.back().kind != Piece::Kind::text)
        pieces.push_back({});
    pieces.back().text += text;
}

class Evaluator {
public:
    explicit Evaluator(const Known& known) : known_(known) {}

    Outcome text(std::string_view written, int depth) const
    {
        if (written.find_first_of("$\\") == written.npos)
            return {Outcome::Kind::known, std::string(written)};
        const auto pieces = parse_expansion(written);
        if (!pieces || depth > deepest_expansion)
            return {Outcome::Kind::unknown, std::string(written)};
        Outcome all;
        for (const Piece& piece : *pieces) {
            Outcome one = answer(piece, depth);
            if (one.kind != Outcome::Kind::known)
                return one;
            all.text += one.text;
        }
        return all;
    }

    std::optional<bool> condition(std::string_view written, std::size_t& taken, int depth) const
    {
        std::size_t at = written.find_first_not_of(" \t\n");
        if (at == written.npos || depth > deepest_expansion)
            return {};
        if (written[at] == '!') {
            std::size_t more = 0;
            const auto inner = condition(written.substr(at + 1), more, depth + 1);
            taken = at + 1 + more;
            return inner ? std::optional(!*inner) : inner;
        }
        std::size_t end = at;
        while (end < written.size() && (in_word(written[end]) || written[end] == '<' || written[end] == '>' || written[end] == '='))
            ++end;
        const std::string_view word = written.substr(at, end - at);
        if (word == "def" && end < written.size() && written[end] == ':') {
            std::size_t to = end + 1;
            while (to < written.size() && in_word(written[to]))
                ++to;
            taken = to;
            const auto found = known_.variables.find(written.substr(end + 1, to - end - 1));
            return found == known_.variables.end() ? std::nullopt : std::optional(!found->second.empty());
        }
        std::vector<std::string_view> arguments;
        const std::size_t wanted = one_argument(word) ? 1 : 2;
        taken = end;
        while (arguments.size() < wanted) {
            const std::size_t open = written.find_first_not_of(" \t\n", taken);
            if (open == written.npos || written[open] != '{')
                break;
            const std::size_t closed = behind_brace(written, open);
            if (closed == written.npos)
                return {};
            arguments.push_back(written.substr(open + 1, closed - open - 2));
            taken = closed;
        }
        return decide(word, arguments, depth);
    }

private:
    static bool one_argument(std::string_view word)
    {
        static constexpr std::array words{"exists", "isip",     "isip4",          "isip6",         "and",      "or",
                                          "bool",   "bool_lax", "first_delivery", "queue_running", "ldapauth", "pam"};
        return std::ranges::find(words, word) != words.end();
    }

    std::optional<bool> decide(std::string_view word, const std::vector<std::string_view>& arguments, int depth) const
    {
        if (word == "and" || word == "or")
            return arguments.empty() ? std::nullopt : together(arguments[0], word == "and", depth);
        // No user has a number below 0, whoever it is.
        if (word == "<" && arguments.size() == 2 && trim(arguments[1]) == "0" &&
            (trim(arguments[0]) == "$local_user_uid" || trim(arguments[0]) == "$local_user_gid"))
            return false;
        std::vector<std::string> values;
        for (const std::string_view argument : arguments) {
            Outcome one = text(argument, depth + 1);
            if (one.kind != Outcome::Kind::known)
                return {};
            values.push_back(std::move(one.text));
        }
        if (word == "exists" && values.size() == 1 && known_.exists)
            return known_.exists(values[0]);
        if (values.size() == 2 && word == "eq")
            return values[0] == values[1];
        if (values.size() == 2 && word == "eqi")
            return iequals(values[0], values[1]);
        if (const auto order = values.size() == 2 ? compared(word, values[0], values[1]) : std::nullopt)
            return order;
        const auto truth = values.size() == 1 && (word == "bool" || word == "bool_lax") ? std::optional(to_lower(trim(values[0]))) : std::nullopt;
        if (truth)
            return !(truth->empty() || *truth == "false" || *truth == "no" || *truth == "0");
        return {};
    }

    static std::optional<bool> compared(std::string_view word, std::string_view left, std::string_view right)
    {
        const auto a = parse_number(trim(left)), b = parse_number(trim(right));
        if (!a || !b)
            return {};
        if (word == "=" || word == "==")
            return *a == *b;
        if (word == "<" || word == "<=")
            return *a < *b || (word == "<=" && *a == *b);
        if (word == ">" || word == ">=")
            return *a > *b || (word == ">=" && *a == *b);
        return {};
    }

    /// "{cond}{cond}...": the first that decides; what is not known decides nothing.
    std::optional<bool> together(std::string_view list, bool all, int depth) const
    {
        bool unknown = false;
        for (std::size_t at = 0; (at = list.find('{', at)) != list.npos;) {
            const std::size_t closed = behind_brace(list, at);
            if (closed == list.npos)
                return {};
            std::size_t taken = 0;
            const auto one = condition(list.substr(at + 1, closed - at - 2), taken, depth + 1);
            if (one && *one != all)
                return *one;
            unknown |= !one;
            at = closed;
        }
        return unknown ? std::nullopt : std::optional(all);
    }

    Outcome answer(const Piece& piece, int depth) const
    {
        const Outcome unknown{Outcome::Kind::unknown, piece.kind == Piece::Kind::variable ? "$" + piece.text : piece.text};
        if (piece.kind == Piece::Kind::text)
            return {Outcome::Kind::known, piece.text};
        if (piece.kind == Piece::Kind::variable) {
            const auto found = known_.variables.find(piece.text);
            return found == known_.variables.end() ? unknown : Outcome{Outcome::Kind::known, found->second};
        }
        if (piece.word == "if")
            return choice(piece, unknown, depth);
        if (piece.word == "env")
            return environment(piece, unknown, depth);
        if (piece.word == "extract")
            return field(piece, unknown, depth);
        if (piece.word == "readfile")
            return file(piece, unknown, depth);
        if (piece.word == "lookup")
            return looked_up(piece, unknown, depth);
        if (piece.word == "lc" || piece.word == "uc" || piece.word == "quote") {
            if (piece.arguments.size() != 1)
                return unknown;
            Outcome one = text(piece.arguments[0], depth + 1);
            if (one.kind == Outcome::Kind::known && piece.word != "quote")
                one.text = piece.word == "lc" ? to_lower(one.text) : to_upper(one.text);
            else if (one.kind == Outcome::Kind::known && !std::ranges::all_of(one.text, [](char c) { return in_word(c) || c == '-' || c == '.'; }))
                return unknown;
            return one;
        }
        return unknown;
    }

    /// What stands in braces behind what was asked: the first where there is a value, which it may name; else the second.
    Outcome ways(const Piece& piece, std::size_t first, const std::optional<std::string>& value, int depth) const
    {
        if (piece.arguments.size() > first + 2)
            return {Outcome::Kind::unknown, piece.text};
        if (value) {
            if (piece.arguments.size() <= first)
                return {Outcome::Kind::known, *value};
            Known here = known_;
            here.variables["value"] = *value;
            return Evaluator(here).text(piece.arguments[first], depth + 1);
        }
        if (piece.arguments.size() > first + 1)
            return text(piece.arguments[first + 1], depth + 1);
        return piece.fails ? Outcome{Outcome::Kind::failed, {}} : Outcome{};
    }

    Outcome environment(const Piece& piece, const Outcome& unknown, int depth) const
    {
        if (piece.arguments.empty() || !known_.environment)
            return unknown;
        const Outcome name = text(piece.arguments[0], depth + 1);
        return name.kind == Outcome::Kind::known ? ways(piece, 1, known_.environment(std::string(trim(name.text))), depth) : name;
    }

    /// "${extract{2}{:}{a:b:c}}"; 11.5: separators are characters, 0 is all of it, a number below 0 counts from the end.
    Outcome field(const Piece& piece, const Outcome& unknown, int depth) const
    {
        if (piece.arguments.size() < 3 || piece.arguments[1].empty())
            return unknown;
        const auto number = parse_number(trim(piece.arguments[0]));
        const Outcome of = text(piece.arguments[2], depth + 1);
        if (!number || *number == 0 || of.kind == Outcome::Kind::unknown)
            return of.kind == Outcome::Kind::unknown ? of : unknown;
        if (of.kind == Outcome::Kind::failed)
            return of;
        std::size_t at = 0;
        for (std::uint64_t skipped = 1; skipped < *number; ++skipped) {
            const std::size_t separator = of.text.find_first_of(piece.arguments[1], at);
            if (separator == of.text.npos)
                return ways(piece, 3, std::nullopt, depth);
            at = separator + 1;
        }
        const std::size_t end = std::min(of.text.find_first_of(piece.arguments[1], at), of.text.size());
        return of.text.empty() ? ways(piece, 3, std::nullopt, depth) : ways(piece, 3, of.text.substr(at, end - at), depth);
    }

    Outcome file(const Piece& piece, const Outcome& unknown, int depth) const
    {
        if (piece.arguments.empty() || piece.arguments.size() > 2 || !known_.read)
            return unknown;
        const Outcome path = text(piece.arguments[0], depth + 1);
        const auto octets = path.kind == Outcome::Kind::known ? known_.read(path.text) : Result<std::string>(Error{"not known"});
        if (!octets)
            return unknown;
        if (piece.arguments.size() == 1)
            return {Outcome::Kind::known, *octets};
        const Outcome line_end = text(piece.arguments[1], depth + 1);
        if (line_end.kind != Outcome::Kind::known)
            return unknown;
        Outcome all;
        for (const char c : *octets)
            if (c == '\n')
                all.text += line_end.text;
            else
                all.text += c;
        return all;
    }

    /// lsearch alone: what is found now. A file that cannot be read is not known: Exim would try again later.
    Outcome looked_up(const Piece& piece, const Outcome& unknown, int depth) const
    {
        const auto lookup = as_lookup(piece);
        if (!lookup || lookup->type != "lsearch" || lookup->partial >= 0 || !known_.read || (!lookup->options.empty() && lookup->options != "*"))
            return unknown;
        const Outcome key = text(lookup->key, depth + 1), path = text(lookup->file, depth + 1);
        if (key.kind != Outcome::Kind::known || path.kind != Outcome::Kind::known)
            return key.kind != Outcome::Kind::known ? key : path;
        const auto octets = known_.read(path.text);
        if (!octets)
            return unknown;
        const std::string wanted = to_lower(key.text);
        std::optional<std::string> found, any;
        for (const KeyEntry& entry : read_key_file(*octets)) {
            if (!found && entry.key == wanted)
                found = entry.value;
            if (!any && entry.key == "*" && lookup->options == "*")
                any = entry.value;
        }
        return ways(piece, 2, found ? found : any, depth);
    }

    Outcome choice(const Piece& piece, const Outcome& unknown, int depth) const
    {
        const std::string_view inside = std::string_view(piece.text).substr(2, piece.text.size() - 3);
        const std::string_view behind = inside.substr(inside.find("if") + 2);
        std::size_t taken = 0;
        const auto holds = condition(behind, taken, depth + 1);
        if (!holds)
            return unknown;
        std::vector<std::string_view> ways;
        std::string_view rest = trim(behind.substr(taken));
        while (rest.starts_with('{')) {
            const std::size_t closed = behind_brace(rest, 0);
            if (closed == rest.npos)
                return unknown;
            ways.push_back(rest.substr(1, closed - 2));
            rest = trim(rest.substr(closed));
        }
        if (*holds)
            return ways.empty() ? Outcome{Outcome::Kind::known, "true"} : text(trim(ways[0]), depth + 1);
        if (ways.size() > 1)
            return text(trim(ways[1]), depth + 1);
        return rest == "fail" ? Outcome{Outcome::Kind::failed, {}} : Outcome{};
    }

    const Known& known_;
};

constexpr std::array single_key_types{"cdb",  "dbm",     "dbmjz", "dbmnz", "dsearch",      "iplsearch",   "json",
                                      "lmdb", "lsearch", "nis",   "nis0",  "nwildlsearch", "wildlsearch", "spf"};
constexpr std::array query_types{"dnsdb",  "ibase",  "ldap",  "ldapdn", "ldapm",  "mysql",  "nisplus",
                                 "oracle", "passwd", "pgsql", "redis",  "sqlite", "testdb", "whoson"};

}  // namespace

Result<std::vector<Piece>> parse_expansion(std::string_view text)
{
    std::vector<Piece> pieces;
    for (std::size_t at = 0; at < text.size();) {
        const char c = text[at];
        if (c == '\\' && at + 1 < text.size()) {
            const char escaped = text[at + 1];
            if (escaped == 'N') {
                const std::size_t end = text.find("\\N", at + 2);
                if (end == text.npos)
                    return no_expansion(text);
                add_text(pieces, text.substr(at + 2, end - at - 2));
                at = end + 2;
                continue;
            }
            const char plain = escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
            add_text(pieces, std::string_view(&plain, 1));
            at += 2;
            continue;
        }
        if (c != '$') {
            add_text(pieces, text.substr(at, 1));
            ++at;
            continue;
        }
        if (at + 1 < text.size() && text[at + 1] == '{') {
            const std::size_t closed = behind_brace(text, at + 1);
            if (closed == text.npos)
                return no_expansion(text);
            pieces.push_back(item(text.substr(at, closed - at)));
            at = closed;
            continue;
        }
        std::size_t end = at + 1;
        while (end < text.size() && in_word(text[end]))
            ++end;
        if (end == at + 1)
            return no_expansion(text);
        pieces.push_back(
            {.kind = Piece::Kind::variable, .text = std::string(text.substr(at + 1, end - at - 1)), .word = {}, .bare = {}, .arguments = {}});
        at = end;
    }
    return pieces;
}

Outcome evaluate(std::string_view text, const Known& known) { return Evaluator(known).text(text, 0); }

std::optional<bool> evaluate_condition(std::string_view text, std::size_t& taken, const Known& known)
{
    return Evaluator(known).condition(text, taken, 0);
}

bool is_false(std::string_view text)
{
    const std::string word = to_lower(trim(text));
    return word.empty() || word == "0" || word == "no" || word == "false";
}

std::optional<ConditionParts> as_condition(std::string_view text)
{
    ConditionParts parts;
    text = trim(text);
    for (; text.starts_with('!'); text = trim(text.substr(1)))
        parts.negated = !parts.negated;
    std::size_t end = 0;
    while (end < text.size() && (in_word(text[end]) || std::string_view("<>=").find(text[end]) != std::string_view::npos))
        ++end;
    parts.word = text.substr(0, end);
    std::string_view rest = text.substr(end);
    if (parts.word == "def" && rest.starts_with(':')) {
        parts.arguments.emplace_back(trim(rest.substr(1)));
        return std::ranges::all_of(parts.arguments[0], in_word) ? std::optional(parts) : std::nullopt;
    }
    while (!(rest = trim(rest)).empty()) {
        const std::size_t closed = rest.front() == '{' ? behind_brace(rest, 0) : rest.npos;
        if (closed == rest.npos)
            return {};
        parts.arguments.emplace_back(rest.substr(1, closed - 2));
        rest = rest.substr(closed);
    }
    return parts.word.empty() ? std::nullopt : std::optional(parts);
}

std::optional<ConditionParts> as_question(std::string_view text, const Known& known)
{
    const auto pieces = parse_expansion(trim(text));
    if (!pieces || pieces->size() != 1 || pieces->front().word != "if")
        return {};
    const std::string_view whole = pieces->front().text, inside = whole.substr(2, whole.size() - 3), behind = inside.substr(inside.find("if") + 2);
    std::size_t taken = 0;
    evaluate_condition(behind, taken, known);
    if (taken == 0)
        return {};
    bool yes = true, no = false, first = true;                     // "${if CONDITION}" alone says so itself
    for (std::string_view rest = trim(behind.substr(taken)); !rest.empty(); first = false) {
        const std::size_t closed = rest.front() == '{' ? behind_brace(rest, 0) : rest.npos;
        const Outcome way = closed == rest.npos ? Outcome{Outcome::Kind::unknown, {}} : evaluate(rest.substr(1, closed - 2), known);
        if (way.kind != Outcome::Kind::known)
            return {};
        (first ? yes : no) = !is_false(way.text);
        rest = trim(rest.substr(closed));
    }
    auto parts = as_condition(behind.substr(0, taken));
    if (!parts || yes == no)
        return {};
    parts->negated = parts->negated != no;
    return parts;
}

bool is_single_key(std::string_view type) { return std::ranges::find(single_key_types, type) != single_key_types.end(); }

bool parse_lookup_type(std::string_view text, Lookup& into)
{
    text = trim(text);
    into.partial = -1;
    if (text.starts_with("net")) {                                 // "net24-lsearch": of an address with its mask
        const std::size_t dash = text.find('-');
        if (dash == text.npos)
            return false;
        text = text.substr(dash + 1);
        into.options = "net";
    }
    if (text.starts_with("partial")) {
        const std::size_t dash = text.find('-');
        if (dash == text.npos)
            return false;
        const auto number = parse_number(text.substr(7, dash - 7));
        if (dash > 7 && !number)
            return false;
        into.partial = number ? static_cast<int>(std::min<std::uint64_t>(*number, 100)) : 2;
        text = text.substr(dash + 1);
    }
    const std::size_t end = std::min(text.find_first_of("*,"), text.size());
    into.type = text.substr(0, end);
    into.options += text.substr(end);
    return is_single_key(into.type) || std::ranges::find(query_types, std::string_view(into.type)) != query_types.end();
}

std::optional<Lookup> as_lookup(const Piece& piece)
{
    if (piece.kind != Piece::Kind::item || piece.word != "lookup")
        return {};
    Lookup lookup;
    if (!parse_lookup_type(piece.bare, lookup))
        return {};
    const bool key = is_single_key(lookup.type);
    const std::size_t first = key ? 2 : 1;
    if (piece.arguments.size() < first || piece.arguments.size() > first + 2)
        return {};
    if (key)
        lookup.key = trim(piece.arguments[0]);
    lookup.file = trim(piece.arguments[first - 1]);
    if (piece.arguments.size() > first)
        lookup.found = piece.arguments[first];
    if (piece.arguments.size() > first + 1)
        lookup.otherwise = piece.arguments[first + 1];
    lookup.fails = piece.fails;
    return lookup;
}

std::optional<Lookup> as_lookup(std::string_view text)
{
    const auto pieces = parse_expansion(trim(text));
    return pieces && pieces->size() == 1 ? as_lookup(pieces->front()) : std::nullopt;
}

}  // namespace posthorn::exim

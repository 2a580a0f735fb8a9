#include "exim/configuration.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace posthorn::exim {

namespace {

constexpr std::size_t deepest_include = 20, longest_line = 1 << 20, most_lines = 200'000;

bool in_name(char c) { return is_alnum(c) || c == '_'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

struct Line {
    Place place;
    std::string text;
};

/// The name at the front of `text`, taken off with the blanks behind it.
std::string_view take_name(std::string_view& text)
{
    std::size_t end = 0;
    while (end < text.size() && in_name(text[end]))
        ++end;
    const std::string_view name = text.substr(0, end);
    text = trim(text.substr(end));
    return name;
}

/// Physical lines behind conditions, macros and includes, joined to logical ones.
class LineReader {
public:
    LineReader(const std::string& path, const ReadFile& read) : read_(read), top_(path) {}

    Result<std::vector<Line>> all()
    {
        TRY_VOID(file(top_, 0));
        if (continued_)
            lines_.push_back(std::move(pending_));
        return std::move(lines_);
    }

private:
    struct Macro {
        std::string name, value;
    };
    struct Branch {
        bool outer = true, taken = false, active = false;  // what surrounds it is read; one of its branches was; this one is
        Place place;
    };

    static Error wrong(const Place& place, std::string text) { return Error{fmt::format("{}: {}", place.text(), text)}; }

    Result<void> file(const std::string& path, std::size_t depth)
    {
        TRY(const std::string text, read_(path));
        const std::size_t branches = branches_.size();
        Place place{path, 0};
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t end = std::min(text.find('\n', at), text.size());
            const std::string_view line = trim(std::string_view(text).substr(at, end - at));
            at = end + 1;
            ++place.line;
            if (++count_ > most_lines)
                return wrong(place, fmt::format("more than {} lines", most_lines));
            TRY_VOID(physical(line, place, depth));
        }
        if (branches_.size() != branches)
            return wrong(branches_.back().place, ".endif is missing");
        return {};
    }

    bool active() const { return branches_.empty() || branches_.back().active; }

    Result<void> physical(std::string_view line, const Place& place, std::size_t depth)
    {
        if (line.starts_with('#'))
            return {};
        if (line.starts_with('.') && line.size() > 1 && is_alpha(line[1])) {
            TRY(const bool condition, branch(line, place));
            if (condition)
                return {};
        }
        if (!active())
            return {};
        TRY(const std::string text, expanded(line, place));
        const std::string_view behind = trim(text);
        if (behind.starts_with('#') || (behind.empty() && !line.empty()))
            return {};
        if (behind.starts_with(".include"))
            return include(behind, place, depth);
        return logical(behind, place);
    }

    Result<bool> branch(std::string_view line, const Place& place)
    {
        std::string_view rest = line.substr(1);
        const std::string_view word = take_name(rest);
        const bool first = word == "ifdef" || word == "ifndef", later = word == "elifdef" || word == "elifndef";
        if (!first && !later && word != "else" && word != "endif")
            return false;
#ifndef POSTHORN_PLANT_BUG_exim_configuration
        if (!first && branches_.empty())
            return wrong(place, fmt::format(".{} without .ifdef", word));
#endif
        if (word == "endif") {
            branches_.pop_back();
            return true;
        }
        if (first)
            branches_.push_back({.outer = active(), .place = place});
        Branch& now = branches_.back();
        bool holds = word == "else";
        if (!holds)
            holds = names_macro(rest) == (word == "ifdef" || word == "elifdef");
        now.active = now.outer && !now.taken && holds;
        now.taken |= now.active;
        return true;
    }

    bool names_macro(std::string_view text) const
    {
        // Of what is built in one counts: what a file asks of TLS where there is TLS is not to be lost.
        for (const std::string_view word : split(text))
            if (word == "_HAVE_TLS")
                return true;
        return std::ranges::any_of(macros_, [&](const Macro& macro) { return text.find(macro.name) != text.npos; });
    }

    /// Each macro in the order of their definitions; what one put in is not looked through for it again. The name that a line defines stays.
    Result<std::string> expanded(std::string_view line, const Place& place) const
    {
        std::size_t from = 0;
        if (!line.empty() && is_upper(line.front())) {
            std::string_view rest = line;
            const std::string_view name = take_name(rest);
            if (rest.starts_with('='))
                from = name.size();
        }
        std::string text(line);
        for (const Macro& macro : macros_)
            for (std::size_t at = from; (at = text.find(macro.name, at)) != text.npos; at += macro.value.size()) {
                if (text.size() + macro.value.size() > longest_line)
                    return wrong(place, fmt::format("longer than {} octets with its macros", longest_line));
                text.replace(at, macro.name.size(), macro.value);
            }
        return text;
    }

    Result<void> include(std::string_view text, const Place& place, std::size_t depth)
    {
        std::string_view rest = text.substr(1);
        const std::string_view word = take_name(rest);
        if (word != "include" && word != "include_if_exists")
            return wrong(place, fmt::format("unknown directive .{}", printable(word)));
        if (rest.size() > 1 && rest.front() == '"' && rest.back() == '"')
            rest = rest.substr(1, rest.size() - 2);
        if (rest.empty())
            return wrong(place, fmt::format(".{} names no file", word));
        std::string path(rest);
        if (!path.starts_with('/')) {
            if (word == "include_if_exists")
                return wrong(place, fmt::format(".{}: {} is no absolute path", word, printable(rest)));
            const std::size_t slash = place.file.rfind('/');
            path = (slash == place.file.npos ? std::string() : place.file.substr(0, slash + 1)) + path;
        }
        if (depth + 1 > deepest_include)
            return wrong(place, fmt::format("more than {} files include one another", deepest_include));
        if (word == "include_if_exists" && !read_(path))
            return {};
        auto done = file(path, depth + 1);
        if (!done && done.error().what().find(", line ") == std::string::npos)   // the file itself: say who names it
            return wrong(place, done.error().text());
        return done;
    }

    Result<void> logical(std::string_view text, const Place& place)
    {
        const bool goes_on = text.ends_with('\\');
        if (goes_on)
            text.remove_suffix(1);
        if (!continued_) {
            pending_ = {place, std::string(text)};
        } else {
            if (pending_.text.size() + text.size() > longest_line)
                return wrong(place, fmt::format("longer than {} octets with its continuations", longest_line));
            pending_.text += text;
        }
        continued_ = goes_on;
        if (goes_on)
            return {};
        if (trim(pending_.text).empty())
            return {};
        pending_.text = std::string(trim(pending_.text));
        if (is_upper(pending_.text.front())) {
            TRY(const bool defined, define(pending_));
            if (defined)
                return {};
        }
        lines_.push_back(std::move(pending_));
        return {};
    }

    Result<bool> define(const Line& line)
    {
        std::string_view rest = line.text;
        const std::string name(take_name(rest));
        if (!rest.starts_with('='))
            return false;
        const bool again = rest.starts_with("==");
        const std::string value(trim(rest.substr(again ? 2 : 1)));
        const auto known = std::ranges::find(macros_, name, &Macro::name);
        if (known != macros_.end()) {
            if (!again)
                return wrong(line.place, fmt::format("macro {} is defined already (\"==\" would define it again)", name));
            known->value = value;
            return true;
        }
        if (again)
            return wrong(line.place, fmt::format("macro {} is not defined yet, and cannot be defined again", name));
        for (const Macro& macro : macros_)
            if (name.find(macro.name) != name.npos)
                return wrong(line.place, fmt::format("macro {} can never be found: its name holds that of {}", name, macro.name));
        macros_.push_back({name, value});
        return true;
    }

    const ReadFile& read_;
    std::string top_;
    std::vector<Macro> macros_;
    std::vector<Branch> branches_;
    std::vector<Line> lines_;
    Line pending_;
    bool continued_ = false;
    std::size_t count_ = 0;
};

/// "..." with its escapes, taken off the front of `text`.                                                          Exim's specification, 6.17
Result<std::string> take_quoted(std::string_view& text, const Place& place)
{
    std::string value;
    for (std::size_t at = 1; at < text.size(); ++at) {
        char c = text[at];
        if (c == '"') {
            text = trim(text.substr(at + 1));
            return value;
        }
        if (c != '\\' || at + 1 >= text.size()) {
            value += c;
            continue;
        }
        c = text[++at];
        const auto digits = [&](std::size_t most, int base, auto is_one) {
            int number = 0;
            for (std::size_t taken = 0; taken < most && at < text.size() && is_one(text[at]); ++taken, ++at)
                number = number * base + (is_digit(text[at]) ? text[at] - '0' : ascii_lower(text[at]) - 'a' + 10);
            --at;
            return static_cast<char>(number);
        };
        if (c == 'n')
            value += '\n';
        else if (c == 'r')
            value += '\r';
        else if (c == 't')
            value += '\t';
        else if (c >= '0' && c <= '7')
            value += digits(3, 8, [](char d) { return d >= '0' && d <= '7'; });
        else if (c == 'x' && (++at, true))
            value += digits(2, 16, [](char d) { return is_digit(d) || (ascii_lower(d) >= 'a' && ascii_lower(d) <= 'f'); });
        else
            value += c;
    }
    return Error{fmt::format("{}: the quote is not closed", place.text())};
}

Result<std::string> unquoted(std::string_view text, const Place& place)
{
    if (!text.starts_with('"'))
        return std::string(text);
    TRY(std::string value, take_quoted(text, place));
    if (!text.empty())
        return Error{fmt::format("{}: text behind the closing quote: {}", place.text(), printable(text.substr(0, 40)))};
    return value;
}

/// A word up to white space, or "...".
Result<std::string> take_word(std::string_view& text, const Place& place)
{
    if (text.starts_with('"'))
        return take_quoted(text, place);
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    std::string word(text.substr(0, end));
    text = trim(text.substr(end));
    return word;
}

constexpr std::array verbs{"accept", "defer", "deny", "discard", "drop", "require", "warn"};

class TreeBuilder {
public:
    Result<Configuration> build(const std::vector<Line>& lines)
    {
        for (const Line& line : lines) {
            std::string_view rest = line.text;
            if (take_name(rest) == "begin" && !rest.starts_with('=')) {
                TRY_VOID(section(rest, line.place));
                continue;
            }
            TRY_VOID(statement(line));
        }
        for (const std::vector<Instance>* instances : {&tree_.routers, &tree_.transports, &tree_.authenticators})
            for (const Instance& one : *instances)
                if (one.driver.empty())
                    return wrong(one.place, fmt::format("{} names no driver", one.name));
        return std::move(tree_);
    }

private:
    static Error wrong(const Place& place, std::string text) { return Error{fmt::format("{}: {}", place.text(), text)}; }

    Result<void> section(std::string_view name, const Place& place)
    {
        static constexpr std::array known{"acl", "routers", "transports", "retry", "rewrite", "authenticators", "local_scan"};
        const std::string wanted = to_lower(name);
        if (std::ranges::find(known, std::string_view(wanted)) == known.end())
            return wrong(place, fmt::format("unknown section \"{}\"", printable(name)));
        section_ = wanted;
        return {};
    }

    Result<void> statement(const Line& line)
    {
        if (section_ == "acl")
            return acl(line);
        if (section_ == "routers")
            return instance(line, tree_.routers);
        if (section_ == "transports")
            return instance(line, tree_.transports);
        if (section_ == "authenticators")
            return instance(line, tree_.authenticators);
        if (section_ == "retry")
            return retry(line);
        if (section_ == "rewrite")
            return rewrite(line);
        TRY(auto one, option(line));
        if (section_ == "local_scan") {
            tree_.local_scan.push_back(std::move(one));
            return {};
        }
        return main(line, std::move(one));
    }

    /// `hide name = value`, `name`, `no_name`; for named lists the name is the keyword and the value "name = list".
    static Result<Option> option(const Line& line)
    {
        std::string_view rest = line.text;
        Option one{.place = line.place};
        std::string_view name = take_name(rest);
        if (name == "hide" && !rest.starts_with('=')) {
            one.hidden = true;
            name = take_name(rest);
        }
        if (name.empty())
            return wrong(line.place, fmt::format("no option: \"{}\"", printable(line.text.substr(0, 60))));
        one.name = name;
        if (rest.starts_with('=')) {
            TRY(one.value, unquoted(trim(rest.substr(1)), line.place));
        } else if (rest.empty()) {
            one.value = "true";
            for (const std::string_view negation : {"not_", "no_"})
                if (name.starts_with(negation) && name.size() > negation.size()) {
                    one.name = name.substr(negation.size());
                    one.value = "false";
                    break;
                }
        } else if (!name.ends_with("list") && !name.ends_with("list_cache")) {
            return wrong(line.place, fmt::format("\"=\" is missing behind {}", name));
        } else {
            one.value = rest;
        }
        return one;
    }

    Result<void> main(const Line& line, Option one)
    {
        static constexpr std::array kinds{std::pair{"domainlist", NamedList::Kind::domains}, std::pair{"hostlist", NamedList::Kind::hosts},
                                          std::pair{"addresslist", NamedList::Kind::addresses},
                                          std::pair{"localpartlist", NamedList::Kind::local_parts}};
        for (const auto& [word, kind] : kinds) {
            if (one.name != word && one.name != std::string(word) + "_cache")
                continue;
            std::string_view rest = one.value;
            NamedList list{.place = line.place, .kind = kind, .hidden = one.hidden};
            list.name = take_name(rest);
            if (list.name.empty() || !rest.starts_with('='))
                return wrong(line.place, fmt::format("{} without \"name = list\"", one.name));
            TRY(list.value, unquoted(trim(rest.substr(1)), line.place));
            if (tree_.list(kind, list.name))
                return wrong(line.place, fmt::format("{} {} is defined already", word, list.name));
            tree_.lists.push_back(std::move(list));
            return {};
        }
        if (one.name.ends_with("list") && one.value.find('=') != one.value.npos && one.name.find('_') == one.name.npos)
            return wrong(line.place, fmt::format("unknown kind of list: {}", one.name));
        tree_.main.push_back(std::move(one));
        return {};
    }

    Result<void> instance(const Line& line, std::vector<Instance>& into)
    {
        std::string_view rest = line.text;
        const std::string_view name = take_name(rest);
        if (!name.empty() && rest == ":") {
            if (std::ranges::find(into, name, &Instance::name) != into.end())
                return wrong(line.place, fmt::format("{} is defined already", name));
            into.push_back({.place = line.place, .name = std::string(name), .driver = {}, .options = {}});
            open_ = &into;
            return {};
        }
        if (into.empty() || open_ != &into)
            return wrong(line.place, fmt::format("\"name:\" is missing before \"{}\"", printable(line.text.substr(0, 60))));
        TRY(Option one, option(line));
        if (one.name == "driver")
            into.back().driver = one.value;
        else
            into.back().options.push_back(std::move(one));
        return {};
    }

    Result<void> acl(const Line& line)
    {
        std::string_view rest = line.text;
        const std::string_view name = take_name(rest);
        if (!name.empty() && rest == ":") {
            if (tree_.acl(name))
                return wrong(line.place, fmt::format("acl {} is defined already", name));
            tree_.acls.push_back({.place = line.place, .name = std::string(name), .statements = {}});
            return {};
        }
        if (tree_.acls.empty())
            return wrong(line.place, "a name is missing before the first statement of an ACL");
        std::vector<AclStatement>& statements = tree_.acls.back().statements;
        if (std::ranges::find(verbs, to_lower(name)) != verbs.end()) {
            statements.push_back({.place = line.place, .verb = to_lower(name), .conditions = {}});
            if (rest.empty())
                return {};
        } else {
            rest = line.text;
        }
        if (statements.empty())
            return wrong(line.place, fmt::format("a verb is missing before \"{}\"", printable(line.text.substr(0, 60))));
        TRY(Condition one, condition(rest, line.place));
        statements.back().conditions.push_back(std::move(one));
        return {};
    }

    static Result<Condition> condition(std::string_view text, const Place& place)
    {
        Condition one{.place = place};
        if (text.starts_with('!')) {
            one.negated = true;
            text = trim(text.substr(1));
        }
        one.name = to_lower(take_name(text));
        if (one.name.empty())
            return wrong(place, fmt::format("no condition: \"{}\"", printable(text.substr(0, 60))));
        if (one.name == "endpass" && text.empty())
            return one;
        if (one.name == "set") {
            one.value = text;
            return one;
        }
        if (!text.starts_with('='))
            return wrong(place, fmt::format("\"=\" is missing behind {}", printable(one.name)));
        one.value = trim(text.substr(1));
        return one;
    }

    Result<void> retry(const Line& line)
    {
        std::string_view rest = line.text;
        RetryRule rule{.place = line.place};
        TRY(rule.pattern, take_word(rest, line.place));
        TRY(rule.error, take_word(rest, line.place));
        if (rest.starts_with("senders=")) {
            rest = trim(rest.substr(8));
            TRY(rule.senders, take_word(rest, line.place));
        }
        rule.times = rest;
        if (rule.error.empty())
            return wrong(line.place, "a retry rule needs a pattern, an error and times");
        tree_.retry.push_back(std::move(rule));
        return {};
    }

    Result<void> rewrite(const Line& line)
    {
        std::string_view rest = line.text;
        RewriteRule rule{.place = line.place};
        TRY(rule.pattern, take_word(rest, line.place));
        TRY(rule.replacement, take_word(rest, line.place));
        rule.flags = rest;
        if (rule.replacement.empty())
            return wrong(line.place, "a rewriting rule needs a pattern and a replacement");
        tree_.rewrite.push_back(std::move(rule));
        return {};
    }

    Configuration tree_;
    std::string section_;
    const std::vector<Instance>* open_ = nullptr;
};

}  // namespace

const Option* Instance::find(std::string_view option) const
{
    const auto found = std::ranges::find(options, option, &Option::name);
    return found == options.end() ? nullptr : &*found;
}

std::string_view Instance::text(std::string_view option) const
{
    const Option* found = find(option);
    return found ? std::string_view(found->value) : std::string_view{};
}

bool Instance::is_on(std::string_view option) const
{
    const std::string_view value = text(option);
    return !value.empty() && value != "false" && value != "no";
}

const Option* Configuration::find(std::string_view option) const
{
    const Option* last = nullptr;
    for (const Option& one : main)
        if (one.name == option)
            last = &one;
    return last;
}

std::string_view Configuration::text(std::string_view option) const
{
    const Option* found = find(option);
    return found ? std::string_view(found->value) : std::string_view{};
}

const NamedList* Configuration::list(NamedList::Kind kind, std::string_view name) const
{
    for (const NamedList& one : lists)
        if (one.kind == kind && one.name == name)
            return &one;
    return nullptr;
}

const Acl* Configuration::acl(std::string_view name) const
{
    const auto found = std::ranges::find(acls, name, &Acl::name);
    return found == acls.end() ? nullptr : &*found;
}

const Instance* Configuration::transport(std::string_view name) const
{
    const auto found = std::ranges::find(transports, name, &Instance::name);
    return found == transports.end() ? nullptr : &*found;
}

Result<Configuration> read_configuration(const std::string& path, const ReadFile& read)
{
    TRY(const std::vector<Line> lines, LineReader(path, read).all());
    return TreeBuilder().build(lines);
}

}  // namespace posthorn::exim

#include "config/expand.hpp"

#include <idn2.h>

#include <algorithm>
#include <array>
#include <memory>

#include <fmt/format.h>

#include "base/strings.hpp"
#include "config/idna.hpp"
#include "config/units.hpp"

namespace posthorn::config {

namespace {

constexpr int nesting_limit = 99;
constexpr std::size_t result_limit = 1 << 20;
constexpr bool is_name(char c) { return is_alnum(c) || c == '_'; }
constexpr std::string_view operator_chars = "=!<>";

void skip_space(std::string_view& text)
{
    while (!text.empty() && is_space(text.front()))
        text.remove_prefix(1);
}

/// The length of the balanced group that `text` opens with, both brackets included; 0 where it does not end.
std::size_t group_length(std::string_view text)
{
    const char open = text.front(), close = open == '(' ? ')' : '}';
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == open)
            ++depth;
        else if (text[i] == close && --depth == 0)
            return i + 1;
    }
    return 0;
}

std::string_view take_run(std::string_view& text, auto belongs)
{
    std::size_t n = 0;
    while (n < text.size() && belongs(text[n]))
        ++n;
    const auto run = text.substr(0, n);
    text.remove_prefix(n);
    return run;
}

/// What stands in ${ }, taken apart; nothing is looked up yet.
struct Reference {
    std::string_view name;                        // empty for a comparison
    std::string_view left, op, suffix, right;     // of a comparison
    std::optional<std::string_view> operand;      // of a function, ${domain_to_ascii{text}}: `name` is the function
    char branch = 0;                              // '?' or ':' where there is one
    std::optional<std::string_view> yes, no;
};

/// {text} at the front of `rest`.
std::optional<std::string_view> take_braced(std::string_view& rest)
{
    if (!rest.starts_with('{'))
        return std::nullopt;
    const auto length = group_length(rest);
    if (length == 0)
        return std::nullopt;
    const auto inner = rest.substr(1, length - 2);
    rest.remove_prefix(length);
    return inner;
}

std::string at(std::string_view before, std::string_view rest, std::string_view what)
{
    return fmt::format("{} at: \"...{}>>>{}\"", what, before, rest.substr(0, 20));
}

Result<Reference> dissect(std::string_view body, std::string_view whole)
{
    Reference ref;
    auto rest = body;
    skip_space(rest);
    std::string before;
    if (rest.starts_with('{')) {
        const auto left = take_braced(rest);
        if (!left)
            return Error{fmt::format("unbalanced {{}} in attribute expression: \"{}\"", rest)};
        ref.left = *left;
        skip_space(rest);
        ref.op = take_run(rest, [](char c) { return operator_chars.contains(c); });
        static constexpr std::array<std::string_view, 6> operators{"==", "!=", "<", "<=", ">=", ">"};
        if (std::ranges::find(operators, ref.op) == operators.end()) {
            return Error{at(fmt::format("{}}}", ref.left), fmt::format("{}{}", ref.op, rest),
                            "\"==\" or \"!=\" or \"<\" or \"<=\" or \">=\" or \">\" expected")};
        }
        ref.suffix = take_run(rest, [](char c) { return is_alnum(c); });
        if (!ref.suffix.empty() && ref.suffix != "level")
            return Error{at(ref.op, ref.suffix, "bad operator suffix")};
        skip_space(rest);
        const auto right = take_braced(rest);
        if (!right)
            return Error{at(fmt::format("{{{}}} {}{}", ref.left, ref.op, ref.suffix), rest, "\"{expression}\" expected")};
        ref.right = *right;
        before = fmt::format("{}}}", ref.right);
        skip_space(rest);
        if (!rest.empty() && rest.front() != '?' && rest.front() != ':')
            return Error{at("}", rest, "\"?\" or \":\" expected")};
    } else {
        const auto start = rest;
        ref.name = take_run(rest, is_name);
        if (ref.name.empty() && rest.empty())
            return Error{fmt::format("empty macro name: \"{}\"", whole)};
        const auto after_name = rest;
        if (rest.starts_with('{') && (ref.name == "domain_to_ascii" || ref.name == "domain_to_utf8")) {
            ref.operand = take_braced(rest);
            skip_space(rest);
            if (!rest.empty())
                return Error{at("}", rest, "unexpected input")};
            return ref;
        }
        skip_space(rest);
        if (ref.name.empty() || (!rest.empty() && rest.front() != '?' && rest.front() != ':')) {
            return Error{at(start.substr(0, start.size() - after_name.size()), after_name, "attribute name syntax error")};
        }
    }
    if (rest.empty())
        return ref;
    ref.branch = rest.front();
    rest.remove_prefix(1);
    skip_space(rest);
    auto& first = ref.branch == '?' ? ref.yes : ref.no;
    if (!rest.starts_with('{')) {                 // the old form: all that follows is text
        first = rest;
        return ref;
    }
    first = take_braced(rest);
    if (!first)
        return Error{fmt::format("unbalanced {{}} in attribute expression: \"{}\"", rest)};
    skip_space(rest);
    if (rest.empty())
        return ref;
    if (ref.branch == ':')
        return Error{at(fmt::format("{}}}", *first), rest, "unexpected input")};
    if (rest.front() != ':')
        return Error{at(fmt::format("{}}}", *first), rest, "\":\" expected")};
    rest.remove_prefix(1);
    skip_space(rest);
    if (!rest.starts_with('{')) {
        ref.no = rest;
        return ref;
    }
    ref.no = take_braced(rest);
    if (!ref.no)
        return Error{fmt::format("unbalanced {{}} in attribute expression: \"{}\"", rest)};
    skip_space(rest);
    if (!rest.empty())
        return Error{at(fmt::format("{}}}", *ref.no), rest, "unexpected input")};
    return ref;
}

/// Finds the next reference in `text`: what stands before it goes to `literal`, its body is returned, `text` moves behind it.
/// Nothing at the end of the text.
Result<std::optional<std::string_view>> next_reference(std::string_view& text, std::string_view whole, std::string& literal)
{
    while (!text.empty()) {
        const auto dollar = text.find('$');
        literal += text.substr(0, dollar);
        if (dollar == text.npos) {
            text = {};
            break;
        }
        text.remove_prefix(dollar + 1);
        if (text.starts_with('$')) {
            literal += '$';
            text.remove_prefix(1);
            continue;
        }
        if (text.starts_with('{') || text.starts_with('(')) {
            const auto length = group_length(text);
            if (length == 0)
                return Error{fmt::format("truncated macro reference: \"{}\"", whole)};
            const auto body = text.substr(1, length - 2);
            text.remove_prefix(length);
            return std::optional{body};
        }
        const auto name = take_run(text, is_name);
        if (name.empty())
            return Error{fmt::format("empty macro name: \"{}\"", whole)};
        return std::optional{name};
    }
    return std::optional<std::string_view>{};
}

Result<std::string> convert_domain(const std::string& domain, bool to_ascii)
{
    if (domain.empty() || (to_ascii && is_ascii(domain)))
        return domain;
    char* converted = nullptr;
    const int status = to_ascii ? ::idn2_to_ascii_8z(domain.c_str(), &converted,
                                                     IDN2_NFC_INPUT | (converts_as_idna2003() ? IDN2_TRANSITIONAL : IDN2_NONTRANSITIONAL))
                                : ::idn2_to_unicode_8z8z(domain.c_str(), &converted, 0);
    const std::unique_ptr<char, void (*)(void*)> owner{converted, ::idn2_free};
    if (status != IDN2_OK)
        return Error{fmt::format("invalid domain name \"{}\": {}", printable(domain, true), ::idn2_strerror(status))};
    return std::string{converted};
}

class Expansion {
public:
    explicit Expansion(const NameLookup& lookup) : lookup_(lookup) {}

    Result<bool> into(std::string& result, std::string_view whole, int depth)
    {
        if (depth > nesting_limit)
            return Error{fmt::format("unreasonable macro call nesting: \"{}\"", whole.substr(0, 200))};
        auto text = whole;
        for (;;) {
            TRY(const auto body, next_reference(text, whole, result));
            if (result.size() > result_limit)
                return Error{fmt::format("result of expansion is too long: \"{}\"", whole.substr(0, 30))};
            if (!body)
                return true;
            TRY(const auto ref, dissect(*body, whole));
            TRY_VOID(reference(result, ref, depth));
        }
    }

private:
    Result<bool> reference(std::string& result, const Reference& ref, int depth)
    {
        bool holds = false;
        if (ref.operand) {
            std::string domain;
            TRY_VOID(into(domain, *ref.operand, depth + 1));
            TRY(const auto converted, convert_domain(domain, ref.name == "domain_to_ascii"));
            result += converted;
            return true;
        }
        if (ref.name.empty()) {
            TRY(const auto truth, compare(ref, depth));
            if (ref.branch == 0)
                result += truth ? "true" : "";
            holds = truth;
        } else {
            if (++lookups_ > 100'000)             // no honest value needs that many; a hostile one doubles at each level
                return Error{fmt::format("unreasonable macro call nesting: \"{}\"", ref.name)};
            const auto value = lookup_(ref.name);
            if (value && ref.branch == 0 && depth == nesting_limit)
                return Error{fmt::format("unreasonable macro call nesting: \"{}\"", ref.name)};
            if (ref.branch == 0)
                return value ? into(result, *value, depth + 1) : Result<bool>{true};
            holds = value && !value->empty();     // tested as written: ${a?x} is x where a = $b, whatever b is
        }
        const auto& branch = holds ? ref.yes : ref.no;
        return branch ? into(result, *branch, depth + 1) : Result<bool>{true};
    }

    Result<bool> compare(const Reference& ref, int depth)
    {
        std::string left, right;
        TRY_VOID(into(left, ref.left, depth + 1));
        TRY_VOID(into(right, ref.right, depth + 1));
        std::strong_ordering order = std::strong_ordering::equal;
        const auto digits = [](std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_digit); };
        if (!ref.suffix.empty()) {
            const auto a = parse_level(left), b = parse_level(right);
            if (!a || !b)
                return Error{fmt::format("malformed compatibility level syntax: \"{}\"", a ? right : left)};
            order = *a <=> *b;
        } else if (digits(left) && digits(right)) {
            const auto strip = [](std::string_view n) {      // any length: compared as numbers without converting
                n.remove_prefix(std::min(n.find_first_not_of('0'), n.size() - 1));
                return n;
            };
            const auto a = strip(left), b = strip(right);
            order = a.size() != b.size() ? a.size() <=> b.size() : a.compare(b) <=> 0;
        } else {
            order = left.compare(right) <=> 0;
        }
        if (ref.op == "==")
            return order == 0;
        if (ref.op == "!=")
            return order != 0;
        if (ref.op == "<")
            return order < 0;
        if (ref.op == "<=")
            return order <= 0;
        return ref.op == ">=" ? order >= 0 : order > 0;
    }

    const NameLookup& lookup_;
    int lookups_ = 0;
};

void walk_names(std::string_view whole, const std::function<void(std::string_view)>& seen, int depth)
{
    if (depth > nesting_limit)
        return;
    std::string literal;
    for (auto text = whole;;) {
        const auto body = next_reference(text, whole, literal);
        if (!body)
            return;
        const auto& reference = *body;
        if (!reference)
            return;
        const auto ref = dissect(*reference, whole);
        if (!ref)
            return;
        if (!ref->name.empty() && !ref->operand)
            seen(ref->name);
#ifdef POSTHORN_PLANT_BUG_main_cf  // the text for an empty value is not searched for names (scripts/fuzz-planted)
        for (const auto part : {ref->left, ref->right, ref->yes.value_or(""), ref->operand.value_or("")})
#else
        for (const auto part : {ref->left, ref->right, ref->yes.value_or(""), ref->no.value_or(""), ref->operand.value_or("")})
#endif
            if (!part.empty())
                walk_names(part, seen, depth + 1);
    }
}

}  // namespace

Result<std::string> expand(std::string_view text, const NameLookup& lookup)
{
    std::string result;
    TRY_VOID(Expansion{lookup}.into(result, text, 0));
    return result;
}

std::string literal(std::string_view value)
{
    std::string made;
    for (const char c : value) {
        made += c;
        if (c == '$')
            made += c;
    }
    return made;
}

void names_in(std::string_view text, const std::function<void(std::string_view name)>& seen) { walk_names(text, seen, 0); }

std::optional<std::int64_t> parse_level(std::string_view text)
{
    std::int64_t level = 0;
    const auto parts = split_exact(text, '.');
    if (parts.size() > 3)
        return std::nullopt;
    for (std::size_t i = 0; i < 3; ++i) {
        std::uint64_t part = 0;
        if (i < parts.size()) {
            const auto number = parse_number(parts[i]);
            if (!number || *number > 999'999)
                return std::nullopt;
            part = *number;
        }
        level = level * 1'000'000 + static_cast<std::int64_t>(part);
    }
    return level;
}

}  // namespace posthorn::config

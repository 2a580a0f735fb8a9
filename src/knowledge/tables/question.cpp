#include "tables/question.hpp"

#include "base/strings.hpp"
#include "tables/fixed.hpp"

#include <fmt/format.h>

namespace posthorn::tables {

namespace {

struct Parts {
    explicit Parts(std::string_view text) : whole(text), local(text)
    {
        const std::size_t at = text.rfind('@');
        if (at == text.npos)
            return;
        local = text.substr(0, at);
        domain = text.substr(at + 1);
        qualified = true;
    }
    /// The nth label of the domain, from 1, from its end; empty: there is none.
    std::string_view label(int n) const
    {
        std::string_view rest = domain;
        for (; n > 1; --n) {
            const std::size_t dot = rest.rfind('.');
            if (dot == rest.npos)
                return {};
            rest = rest.substr(0, dot);
        }
        const std::size_t dot = rest.rfind('.');
        return dot == rest.npos ? rest : rest.substr(dot + 1);
    }
    std::string_view whole, local, domain;
    bool qualified = false;
};

}  // namespace

Result<Template> Template::parse(std::string text)
{
    for (std::size_t at = 0; (at = text.find('%', at)) != text.npos; at += 2)
        if (at + 1 == text.size() || std::string_view("%sudSUD123456789").find(text[at + 1]) == std::string_view::npos)
            return Error{fmt::format("\"{}\" is no part of a template; known are %s %u %d %S %U %D %1 to %9 and %%", printable(text.substr(at, 2))),
                         "4.3.5"};
    Template made;
    made.text_ = std::move(text);
    return made;
}

bool Template::takes_from_key() const
{
    for (std::size_t at = 0; (at = text_.find('%', at)) != text_.npos; at += 2)
        if (text_[at + 1] != '%')
            return true;
    return false;
}

std::optional<std::string> Template::expand(std::string_view value, std::string_view key, const Quote& quote) const
{
    const Parts own(value), asked(key);
    if (value.empty())
        return std::nullopt;
    std::string out;
    for (std::size_t at = 0; at < text_.size(); ++at) {
        if (text_[at] != '%') {
            out += text_[at];
            continue;
        }
        std::string_view piece;
        switch (const char what = text_[++at]) {
        case '%': out += '%'; continue;
        case 's': piece = own.whole; break;
        case 'u': piece = own.local; break;
        case 'd': piece = own.domain; break;
        case 'S': piece = asked.whole; break;
        case 'U': piece = asked.local; break;
        case 'D': piece = asked.domain; break;
        default: piece = asked.label(what - '0'); break;
        }
        if (piece.empty())
            return std::nullopt;
        out += quote(piece);
    }
    return out;
}

Result<std::shared_ptr<const Question>> Question::read(const std::string& spec, const SourceConfig& config, const std::string& template_name,
                                                       std::string query, Tables& tables, const std::optional<std::string>& format)
{
    auto made = std::make_shared<Question>(spec, tables.site().log);
    auto parsed = Template::parse(query.empty() ? config.text(template_name) : std::move(query));
    if (!parsed)
        return config.wrong(template_name, parsed.error().what());
    made->query_ = std::move(*parsed);
    std::string results = config.text("result_format", format ? "" : "%s");
    if (results.empty() && format)
        results = *format;
    if (results.empty())
        return config.required("result_format").error();         // it would make an empty value of every result
    auto format_of_results = Template::parse(std::move(results));
    if (!format_of_results)
        return config.wrong("result_format", format_of_results.error().what());
    made->format_ = std::move(*format_of_results);
    // Below zero is no limit, as 0 is.
    if (const std::string limit = config.text("expansion_limit"); !limit.starts_with('-') || !parse_number(std::string_view(limit).substr(1))) {
        TRY(made->limit_, config.number("expansion_limit", 0, 0, 1'000'000'000));
    }
    made->domains_ = MatchList(ListKind::strings, "domain", config.text("domain"), false, tables);
    return std::shared_ptr<const Question>(std::move(made));
}

awaitable<Result<std::optional<std::string>>> Question::about(std::string key, Flags flags) const
{
    using Asked = std::optional<std::string>;
    if (key.find('\0') != key.npos)
        co_return Asked{};                                       // libraries would end it there, and find what was not asked for
    if (flags.utf8 && !is_ascii(key) && !is_valid_utf8(key))
        co_return Asked{};
    if (flags.fold)
        key = fold_key(key, flags.utf8);
    if (!domains_.empty()) {
        const Parts parts(key);
        if (!parts.qualified || parts.local.empty())
            co_return Asked{};
        CO_TRY(const bool matches, co_await domains_.ask(std::string(parts.domain)));
        if (!matches)
            co_return Asked{};
    }
    const auto as_it_is = [](std::string_view text) { return std::string(text); };
    // What the result format takes from the key is known now as well; "x" stands for any result.
    if (!query_.expand(key, key, as_it_is) || !format_.expand("x@x", key, as_it_is))
        co_return Asked{};
    co_return Asked{std::move(key)};
}

Answer Question::answer(const std::vector<std::string>& results, std::string_view key) const
{
    std::optional<std::string> all;
    std::uint64_t count = 0;
    for (const std::string& result : results) {
        if (result.empty())
            log_.warning("table \"{}\": empty lookup result for: \"{}\" -- ignored", spec_, printable(key, true));
        auto text = format_.expand(result, key, [](std::string_view piece) { return std::string(piece); });
        if (!text)
            continue;
        if (limit_ != 0 && ++count > limit_)
            return Error{fmt::format("Expansion limit exceeded for key: '{}' (expansion_limit = {})", printable(key, true), limit_), "4.3.0"};
        all = all ? *all + "," + *text : std::move(*text);
    }
    return all;
}

}  // namespace posthorn::tables

#include "inject/jinja_tag.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <utility>

namespace posthorn::inject {

namespace {

constexpr std::size_t most_tokens = 100'000;

bool begins_name(char c) { return is_alpha(c) || c == '_'; }

class JinjaTagReader {
public:
    JinjaTagReader(std::string_view source, const Lines& lines) : source_(source), lines_(lines) {}

    Result<JinjaTag> read(std::size_t open) const
    {
        const std::string_view close = source_[open + 1] == '{' ? "}}" : "%}";
        JinjaTag tag;
        std::size_t at = open + 2;
        if (at < source_.size() && (source_[at] == '-' || source_[at] == '+'))
            ++at;
        for (;;) {
            while (at < source_.size() && is_space(source_[at]))
                ++at;
            const std::string_view rest = source_.substr(at);
            const bool trims = rest.starts_with('-') || rest.starts_with('+');
            if (rest.starts_with(close) || (trims && rest.substr(1).starts_with(close))) {
                tag.tokens.push_back({.offset = at});
                tag.trims_after = rest.starts_with('-');
                tag.end = at + (trims ? 1 : 0) + close.size();
                return tag;
            }
            if (rest.empty())
                return wrong(open, fmt::format("this tag has no {}", close));
            if (tag.tokens.size() == most_tokens)
                return wrong(open, "this tag is too long");
            TRY(auto token, read_token(at));
            tag.tokens.push_back(std::move(token));
        }
    }

private:
    Error wrong(std::size_t offset, std::string_view what) const { return error_at(lines_.place_of(offset), what); }

    /// `at` goes behind it.
    Result<JinjaToken> read_token(std::size_t& at) const
    {
        const std::size_t begin = at;
        const char first = source_[at];
        if (begins_name(first)) {
            while (at < source_.size() && (begins_name(source_[at]) || is_digit(source_[at])))
                ++at;
            return JinjaToken{.kind = JinjaToken::Kind::name, .offset = begin, .text = std::string(source_.substr(begin, at - begin))};
        }
        if (is_digit(first)) {
            while (at < source_.size() && (is_digit(source_[at]) || (source_[at] == '.' && at + 1 < source_.size() && is_digit(source_[at + 1]))))
                ++at;
            return JinjaToken{.kind = JinjaToken::Kind::number, .offset = begin, .text = std::string(source_.substr(begin, at - begin))};
        }
        if (first == '"' || first == '\'')
            return read_text(at);
        for (const std::string_view sign : {"==", "!=", "<=", ">=", "<", ">", "=", "|", ".", ",", "(", ")", "[", "]", "~", "-"})
            if (source_.substr(at).starts_with(sign)) {
                at += sign.size();
                return JinjaToken{.kind = JinjaToken::Kind::sign, .offset = begin, .text = std::string(sign)};
            }
        return wrong(begin, fmt::format("\"{}\" has no meaning here", printable(source_.substr(begin, 1))));
    }

    Result<JinjaToken> read_text(std::size_t& at) const
    {
        const std::size_t begin = at;
        const char quote = source_[at++];
        std::string text;
        for (; at < source_.size() && source_[at] != quote; ++at) {
            if (source_[at] != '\\') {
                text += source_[at];
                continue;
            }
            if (++at == source_.size())
                break;
            const char c = source_[at];
            if (c == 'n' || c == 't' || c == 'r')
                text += c == 'n' ? '\n' : c == 't' ? '\t' : '\r';
            else if (c == '\\' || c == '"' || c == '\'' || c == '/')
                text += c;
            else
                return wrong(at - 1, "this escape is not known here");
        }
        if (at == source_.size())
            return wrong(begin, "this string has no end");
        ++at;
        return JinjaToken{.kind = JinjaToken::Kind::text, .offset = begin, .text = std::move(text)};
    }

    std::string_view source_;
    const Lines& lines_;
};

}  // namespace

Result<JinjaTag> read_jinja_tag(std::string_view source, const Lines& lines, std::size_t open) { return JinjaTagReader(source, lines).read(open); }

}  // namespace posthorn::inject

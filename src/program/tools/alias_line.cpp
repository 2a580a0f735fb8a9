#include "tools/alias_line.hpp"

#include <algorithm>
#include <span>
#include <vector>

namespace posthorn::tools {

namespace {

struct Token {
    enum class Kind { word, quoted, literal, comment, special } kind;
    std::string text;                      // as it came, with its quotes or brackets
    bool closed = true;                    // those have their end

    bool is(char c) const { return kind == Kind::special && text.front() == c; }
    bool spaced() const { return kind != Kind::special; }
};

constexpr std::string_view specials = "<>()@,;:.[]\"\\|";
constexpr std::string_view blanks = " \t\r\n";

/// From the opening character to its end, which may be missing; comments nest.
std::size_t end_of(std::string_view text, std::size_t at, char close)
{
    const char open = text[at];
    int depth = 0;
    for (; at < text.size(); ++at) {
        if (text[at] == '\\')
            ++at;
        else if (text[at] == close && (open == close ? depth++ > 0 : --depth == 0))
            return at + 1;
        else if (text[at] == open && open != close)
            depth += open == '(' || depth == 0 ? 1 : 0;
    }
    return text.size();
}

std::vector<Token> tokens_of(std::string_view text)
{
    std::vector<Token> tokens;
    for (std::size_t at = 0; at < text.size();) {
        const char c = text[at];
        std::size_t end = at + 1;
        bool closed = true;
        Token::Kind kind = Token::Kind::special;
        if (blanks.contains(c)) {
            at = end;
            continue;
        }
        if (c == '"') {
            kind = Token::Kind::quoted;
            end = end_of(text, at, '"');
            closed = end > at + 1 && text[end - 1] == '"';
        } else if (c == '(') {
            kind = Token::Kind::comment;
            end = end_of(text, at, ')');
        } else if (c == '[') {
            kind = Token::Kind::literal;
            end = end_of(text, at, ']');
        } else if (c == '\\' || !specials.contains(c)) {
            kind = Token::Kind::word;
            for (end = at; end < text.size() && !blanks.contains(text[end]) && (text[end] == '\\' || !specials.contains(text[end])); ++end)
                end += text[end] == '\\' && end + 1 < text.size() ? 1 : 0;
        }
        tokens.push_back({kind, std::string(text.substr(at, end - at)), closed});
        at = end;
    }
    return tokens;
}

std::string unquoted(const Token& token)
{
    std::string_view text = token.text;
    if (token.kind == Token::Kind::quoted) {
        text.remove_prefix(1);
        if (text.ends_with('"'))
            text.remove_suffix(1);
    }
    if (token.kind != Token::Kind::quoted && token.kind != Token::Kind::word)
        return token.text;
    std::string plain;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '\\' && at + 1 < text.size())
            ++at;
        plain += text[at];
    }
    return plain;
}

/// A word whose backslashes hid something is quoted instead.
std::string as_value(const Token& token)
{
    if (token.kind == Token::Kind::quoted && !token.closed)
        return token.text + '"';
    if (token.kind != Token::Kind::word || !token.text.contains('\\'))
        return token.text;
    const std::string plain = unquoted(token);
    if (plain.find_first_of(specials) == plain.npos && plain.find_first_of(blanks) == plain.npos)
        return plain;
    std::string quoted = "\"";
    for (const char c : plain) {
        if (c == '"' || c == '\\')
            quoted += '\\';
        quoted += c;
    }
    return quoted + '"';
}

using Tokens = std::span<const Token>;

std::string joined(Tokens tokens, std::string (*text_of)(const Token&))
{
    std::string out;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const Token& token = tokens[i];
        out += text_of(token);
        const Token* next = i + 1 < tokens.size() ? &tokens[i + 1] : nullptr;
        if (token.is(',') || (next && (next->is('<') || (token.spaced() && next->spaced()))))
            out += ' ';
    }
    return out;
}

}  // namespace

Result<Alias> parse_alias(std::string_view line)
{
    const std::vector<Token> tokens = tokens_of(line);
    const auto colon = std::ranges::find_if(tokens, [](const Token& token) { return token.is(':'); });
    const Tokens name(tokens.begin(), colon);
    const Tokens value = colon == tokens.end() ? Tokens{} : Tokens(colon + 1, tokens.end());
    if (name.empty() || value.empty() || std::ranges::any_of(name, [](const Token& token) { return token.is(','); }))
        return Error{"need name:value pair"};
    if (std::ranges::any_of(name, [](const Token& token) { return token.is('@'); }))
        return Error{"name must be local"};
    return Alias{joined(name, unquoted), joined(value, as_value)};
}

}  // namespace posthorn::tools

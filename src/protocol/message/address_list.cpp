#include "message/address_list.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/strings.hpp"

namespace posthorn::message {
namespace {

enum class Kind : std::uint8_t { atom, quoted, literal, comment, mark };

struct Token {
    Kind kind;
    std::string text;  // the meaning: without quotes, without backslashes
    std::size_t begin, end;
    bool open = false;  // a quoted string, literal or backslash that the end of the text cuts off
    bool is(char mark) const { return kind == Kind::mark && text.front() == mark; }
    bool word() const { return kind == Kind::atom || kind == Kind::quoted; }
};

constexpr std::string_view marks = "<>@,;:.";

class Lexer {
public:
    Lexer(std::string_view text, std::size_t max) : text_(text), max_(max) {}

    std::vector<Token> run(bool& cut)
    {
        std::vector<Token> tokens;
        tokens.reserve(std::min({max_, text_.size(), std::size_t{16}}));
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (is_space(c)) {
                ++at_;
                continue;
            }
            if (tokens.size() == max_) {
                cut = true;
                break;
            }
            const std::size_t begin = at_;
            Token token{Kind::mark, {}, begin, begin};
            if (c == '(') {
                token.kind = Kind::comment;
                nested(token.text);
            } else if (c == '"') {
                token.kind = Kind::quoted;
                ++at_;
                token.open = !until('"', token.text);
            } else if (c == '[') {
                token.kind = Kind::literal;
                token.text = '[';
                ++at_;
                token.open = !until(']', token.text);
                token.text += ']';
            } else if (marks.find(c) != marks.npos) {
                token.text = c;
                ++at_;
            } else {
                token.kind = Kind::atom;
                while (at_ < text_.size() && !is_space(text_[at_]) && marks.find(text_[at_]) == marks.npos &&
                       std::string_view{"(\"["}.find(text_[at_]) == std::string_view::npos) {
                    if (text_[at_] == '\\') {
                        token.open = at_ + 1 == text_.size();  // it guards nothing
                        at_ += token.open ? 0 : 1;
                    }
                    token.text += text_[at_++];
                }
            }
            token.end = at_;
            tokens.push_back(std::move(token));
        }
        return tokens;
    }

private:
    // Up to and including `close`; false: it is missing, that was the end of the text.
    bool until(char close, std::string& out)
    {
        for (; at_ < text_.size(); ++at_) {
            if (text_[at_] == close) {
                ++at_;
                return true;
            }
            if (text_[at_] == '\\' && at_ + 1 < text_.size())
                ++at_;
            if (text_[at_] != '\r' && text_[at_] != '\n')
                out += text_[at_];
        }
        return false;
    }

    void nested(std::string& out)
    {
        int depth = 0;
        for (; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '(' && depth++ == 0)
                continue;
            if (c == ')' && --depth == 0) {
                ++at_;
                return;
            }
            if (c == '\\' && at_ + 1 < text_.size())
                ++at_;
            if (text_[at_] != '\r' && text_[at_] != '\n')
                out += text_[at_];
        }
    }

    std::string_view text_;
    std::size_t max_;
    std::size_t at_ = 0;
};

using Tokens = std::span<const Token>;

// The words of a phrase or the tokens between < and >, without comments.
std::vector<const Token*> solid(Tokens tokens)
{
    std::vector<const Token*> out;
    out.reserve(tokens.size());
    for (const Token& token : tokens)
        if (token.kind != Kind::comment)
            out.push_back(&token);
    return out;
}

bool only_comments(Tokens tokens)
{
    return std::ranges::all_of(tokens, [](const Token& token) { return token.kind == Kind::comment; });
}

std::string phrase(Tokens tokens)
{
    std::string out;
    std::size_t end = 0;
    for (const Token& token : tokens) {
        if (token.kind == Kind::comment)
            continue;
        if (!out.empty() && token.begin > end)
            out += ' ';
        out += token.text;
        end = token.end;
    }
    return out;
}

std::string first_comment(Tokens tokens)
{
    const auto comment = std::ranges::find(tokens, Kind::comment, &Token::kind);
    return comment == tokens.end() ? std::string{} : std::string(trim(comment->text));
}

// A backslash can bring anything into an atom or literal; in a domain it has no place.
bool is_domain_word(const Token& token)
{
    const std::string_view inner = token.kind == Kind::literal ? std::string_view(token.text).substr(1, token.text.size() - 2) : token.text;
    return std::ranges::none_of(inner, [&](char c) {
        return is_space(c) || (c == ':' && token.kind == Kind::atom) || static_cast<unsigned char>(c) < ' ' ||
               std::string_view{"<>@,;()[]\\\""}.find(c) != std::string_view::npos;
    });
}

// local-part ["@" domain], a source route before it. Words must be joined by dots.
bool read_addr_spec(Tokens tokens, Address& address)
{
    auto all = solid(tokens);
    if (all.empty() || all.back()->open)
        return false;
    address.offset = all.front()->begin;
    address.length = all.back()->end - all.front()->begin;
    std::span<const Token* const> rest(all);
    if (rest.front()->is('@') || rest.front()->is(':')) {
        const auto colon = std::ranges::find_if(rest, [](const Token* token) { return token->is(':'); });
        if (colon == rest.end() ||
            std::any_of(rest.begin(), colon, [](const Token* token) { return token->is('<') || token->is('>') || token->is(';'); }))
            return false;
        rest = rest.subspan(static_cast<std::size_t>(colon - rest.begin()) + 1);
    }
    std::size_t at = rest.size();
    for (std::size_t i = 0; i < rest.size(); ++i)
        if (rest[i]->is('@'))
            at = i;
    bool word = false;
    for (const Token* token : rest.first(at)) {
        // In a local part only dots join words; an `@` in it stays, as a quoted octet.
        const bool is_word = token->word();
        if ((is_word && word) || token->kind == Kind::literal || (!is_word && !token->is('.') && !token->is('@')))
            return false;
        word = is_word;
        address.mailbox.local += token->text;
    }
    if (at < rest.size()) {
        bool label = false;
        for (const Token* token : rest.subspan(at + 1)) {
            const bool is_label = token->kind == Kind::atom || token->kind == Kind::literal;
            if ((is_label && label) || (is_label ? !is_domain_word(*token) : !token->is('.')))
                return false;
            label = is_label;
            address.mailbox.domain += token->text;
        }
        if (address.mailbox.domain.empty())
            return false;
    }
    return !address.mailbox.local.empty() || (at < rest.size() && at > 0);
}

Address read_member(Tokens tokens)
{
    Address address;
    // Only the outermost pair of brackets counts.
    const auto open = std::ranges::find_if(tokens, [](const Token& token) { return token.is('<'); });
    bool good = false;
    if (open != tokens.end()) {
        const auto first = static_cast<std::size_t>(open - tokens.begin());
        auto close = std::find_if(open, tokens.end(), [](const Token& token) { return token.is('>'); });
        const Tokens inner = tokens.subspan(first + 1, static_cast<std::size_t>(close - open) - 1);
        address.angled = true;
        address.display = phrase(tokens.first(first));
        if (only_comments(inner)) {  // `<>`
            address.offset = open->end;
            good = close != tokens.end();
        } else {
            good = read_addr_spec(inner, address);
        }
        if (close != tokens.end())
            for (const Token& token : tokens.subspan(static_cast<std::size_t>(close - tokens.begin()) + 1))
                good = good && token.kind == Kind::comment;
    } else {
        good = read_addr_spec(tokens, address);
    }
    if (!good) {
        address.mailbox = {};
        address.malformed = true;
        address.offset = tokens.front().begin;
        address.length = tokens.back().end - tokens.front().begin;
    }
    if (address.display.empty())
        address.display = first_comment(tokens);
    return address;
}

}  // namespace

namespace {

/// Takes members that no comma parts from the front of a list of tokens, each up to a closing bracket or to a word behind a word. In time of their number.
class Members {
public:
    explicit Members(Tokens tokens)
        : rest_(tokens), whole_(std::ranges::any_of(tokens, [](const Token& token) { return token.is(':'); })), open_(tokens.begin())
    {
    }
    bool any() const { return !only_comments(rest_); }
    Tokens next()
    {
        const auto end = whole_ ? rest_.end() : end_of_first();
        const Tokens first(rest_.begin(), end);
        rest_ = Tokens(end, rest_.end());
        return first;
    }

private:
    Tokens::iterator end_of_first()
    {
        if (open_ < rest_.begin() || open_ == rest_.begin())
            open_ = std::find_if(rest_.begin(), rest_.end(), [](const Token& token) { return token.is('<'); });
        auto end = rest_.begin();
        if (open_ != rest_.end()) {
            end = std::find_if(open_, rest_.end(), [](const Token& token) { return token.is('>'); });
            if (end != rest_.end())
                ++end;
        } else {
            bool word = false;
            for (; end != rest_.end(); ++end) {
                const bool is_word = end->word() || end->kind == Kind::literal;
                if (is_word && word)
                    break;
                if (end->kind != Kind::comment)
                    word = is_word;
            }
        }
        while (end != rest_.end() && end->kind == Kind::comment)
            ++end;
        return end;
    }

    Tokens rest_;
    bool whole_;  // a source route, or what is none: it is not taken apart
    Tokens::iterator open_;  // the next opening bracket, as far as it has been looked for
};

}  // namespace

AddressList parse_address_list(std::string_view text, std::size_t max_tokens)
{
    AddressList list;
    const std::vector<Token> tokens = Lexer{text, max_tokens}.run(list.cut);
    std::string group;
    bool angled = false;
    std::size_t begin = 0;
    bool started = false, route = false;  // the member has more than comments; it begins with "@"
    const auto member = [&](std::size_t end) {
        Members members(Tokens(tokens.begin() + static_cast<std::ptrdiff_t>(begin), tokens.begin() + static_cast<std::ptrdiff_t>(end)));
        begin = end + 1;
        angled = started = false;
        for (std::size_t before = 0; members.any();) {
            const Tokens own = members.next();
            Address& address = list.addresses.emplace_back(read_member(own));
            address.group = group;
            address.missing_comma = std::exchange(before, own.back().end);
        }
    };
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const Token& token = tokens[i];
        if (token.kind != Kind::comment && !std::exchange(started, true))
            route = token.is('@');
        if (token.is('<')) {
            angled = true;
        } else if (token.is('>')) {
            angled = false;
        } else if (token.is(',') && !angled) {
            member(i);
        } else if (token.is(';') && !angled) {
            member(i);
            group.clear();
        } else if (token.is(':') && !angled) {
            // `name:` opens a group, unless the text before it is a source route.
            if (route)
                continue;
            group = phrase(Tokens(tokens.begin() + static_cast<std::ptrdiff_t>(begin), tokens.begin() + static_cast<std::ptrdiff_t>(i)));
            group.resize(std::min(group.size(), group_limit));
            begin = i + 1;
            started = false;
        }
    }
    // The member that the limit cut off is not whole: it is none.
    if (!list.cut)
        member(tokens.size());
    return list;
}

std::optional<std::string> rewrite_addresses(std::string_view text, const Rewrite& rewrite, std::size_t max_tokens)
{
    std::string out;
    std::size_t copied = 0;
    bool changed = false;
    for (const Address& address : parse_address_list(text, max_tokens).addresses) {
        if (address.missing_comma != 0) {
            // What is written anew is a list as it should be.
            out.append(text.substr(copied, address.missing_comma - copied)) += ',';
            copied = address.missing_comma;
        }
        if (address.malformed || address.mailbox.null())
            continue;
        const auto mailbox = rewrite(address.mailbox);
        if (!mailbox || *mailbox == address.mailbox)
            continue;
        out.append(text.substr(copied, address.offset - copied));
        out += mailbox->quoted();
#ifdef POSTHORN_PLANT_BUG_address  // what follows an address in angle brackets loses its first octet (scripts/fuzz-planted)
        copied = address.offset + address.length + (address.angled ? 1 : 0);
#else
        copied = address.offset + address.length;
#endif
        changed = true;
    }
    if (!changed)
        return std::nullopt;
    out.append(text.substr(copied));
    return out;
}

}  // namespace posthorn::message

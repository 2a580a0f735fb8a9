#include "message/mime.hpp"

#include <algorithm>

#include "base/strings.hpp"
#include "message/header.hpp"

namespace posthorn::message {
namespace {

// The tokens of a structured MIME field: words, quoted strings, single marks; comments and white space are gone.
class FieldLexer {
public:
    explicit FieldLexer(std::string_view text) : text_(text) {}

    bool next(std::string& token, char& mark)
    {
        token.clear();
        mark = '\0';
        skip();
        if (text_.empty())
            return false;
        if (text_.front() == '"') {
            text_.remove_prefix(1);
            while (!text_.empty() && text_.front() != '"') {
                if (text_.front() == '\\' && text_.size() > 1)
                    text_.remove_prefix(1);
                if (text_.front() != '\r' && text_.front() != '\n')
                    token += text_.front();
                text_.remove_prefix(1);
            }
            if (!text_.empty())
                text_.remove_prefix(1);
            return true;
        }
        if (is_mark(text_.front())) {
            mark = text_.front();
            text_.remove_prefix(1);
            return true;
        }
        while (!text_.empty() && !is_mark(text_.front()) && !is_space(text_.front()) && text_.front() != '"' && text_.front() != '(') {
            token += text_.front();
            text_.remove_prefix(1);
        }
        return true;
    }

    /// What follows a `=`: a quoted string, or all up to `;` or white space: unquoted boundaries hold `/` and `=` in practice.
    bool value(std::string& token)
    {
        skip();
        char mark = '\0';
        if (text_.starts_with('"'))
            return next(token, mark);
        const std::size_t end = std::min(text_.find_first_of("; \t\r\n"), text_.size());
        token = text_.substr(0, end);
        text_.remove_prefix(end);
        return !token.empty();
    }

private:
    static bool is_mark(char c) { return c == '/' || c == ';' || c == '='; }

    void skip()
    {
        int depth = 0;
        while (!text_.empty() && (depth > 0 || is_space(text_.front()) || text_.front() == '(')) {
            if (text_.front() == '(')
                ++depth;
            else if (text_.front() == ')' && depth > 0)
                --depth;
            else if (text_.front() == '\\' && text_.size() > 1)
                text_.remove_prefix(1);
            text_.remove_prefix(1);
        }
    }

    std::string_view text_;
};

class Walk {
public:
    Walk(std::string_view content, const MimeLimits& limits) : content_(content), limits_(limits) {}

    Mime run()
    {
        std::size_t at = begin_part(0, Part::none);
        while (at < content_.size()) {
            // Only a line that begins with two hyphens can be a boundary; the others are skipped fast.
            const std::size_t end = line_end(content_, at);
            if (content_[at] == '-' && content_.substr(at, 2) == "--") {
                bool final = false;
                const std::size_t level = find_boundary(content_.substr(at, end - at), final);
                if (level != Part::none) {
                    close(level + 1, at);
                    open_[level].active = !final;
                    if (!final) {
                        at = begin_part(end, open_[level].part);
                        continue;
                    }
                }
            }
            at = end;
        }
        close(0, content_.size());
        // A multipart of which no part came is a leaf: its text is no preamble.
        std::vector<bool> has_parts(mime_.parts.size(), false);
        for (const Part& part : mime_.parts)
            if (part.parent != Part::none)
                has_parts[part.parent] = true;
        for (std::size_t i = 0; i < mime_.parts.size(); ++i)
            if (mime_.parts[i].kind == PartKind::multipart && !has_parts[i])
                mime_.parts[i].kind = PartKind::leaf;
        return std::move(mime_);
    }

private:
    struct Open {
        std::size_t part;
        std::string boundary;
        bool active;
    };

    std::size_t find_boundary(std::string_view line, bool& final) const
    {
        while (!line.empty() && is_space(line.back()))
            line.remove_suffix(1);
        line.remove_prefix(2);
        std::size_t prefix = Part::none;
        for (std::size_t level = open_.size(); level-- > 0;) {
            const Open& open = open_[level];
            if (!open.active || !line.starts_with(open.boundary))
                continue;
            const std::string_view rest = line.substr(open.boundary.size());
            if (rest.empty() || rest == "--") {  // the exact one wins over one that is only a prefix
                final = !rest.empty();
                return level;
            }
            if (prefix == Part::none) {
                prefix = level;
                final = rest.starts_with("--");
            }
        }
        return prefix;
    }

    // The parts above `level` end before the line at `at`.
    void close(std::size_t level, std::size_t at)
    {
        while (open_.size() > level) {
            Part& part = mime_.parts[open_.back().part];
            part.end = at;
            if (at < content_.size()) {
                if (part.end > part.body && content_[part.end - 1] == '\n')
                    --part.end;
                if (part.end > part.body && content_[part.end - 1] == '\r' && part.end + 1 == at)
                    --part.end;
            }
            part.end = std::max(part.end, part.body);
            open_.pop_back();
        }
    }

    // Reads the header at `at`, and those of messages within; where to go on.
    std::size_t begin_part(std::size_t at, std::size_t parent)
    {
        for (;;) {
            if (mime_.parts.size() >= limits_.parts) {
                mime_.too_many = true;
                return at;  // the rest is text between the parts
            }
            const std::size_t index = mime_.parts.size();
            Part part;
            part.begin = at;
            part.parent = parent;
            part.depth = parent == Part::none ? 0 : mime_.parts[parent].depth + 1;
            if (parent != Part::none && mime_.parts[parent].content_type.subtype == "digest" && mime_.parts[parent].kind == PartKind::multipart)
                part.content_type = {.type = "message", .subtype = "rfc822"};  // RFC 2046 5.1.5
            read_header(part);
            const bool plain = part.encoding != Encoding::quoted_printable && part.encoding != Encoding::base64 && part.encoding != Encoding::other;
            PartKind kind = PartKind::leaf;
            if (part.content_type.type == "multipart" && !part.content_type.boundary.empty())
                kind = PartKind::multipart;
            else if (part.content_type.type == "message" && plain &&
                     (part.content_type.subtype == "rfc822" || part.content_type.subtype == "global" || part.content_type.subtype == "news"))
                kind = PartKind::message;
            if (kind != PartKind::leaf && part.depth >= limits_.depth) {
                mime_.too_deep = true;
                kind = PartKind::leaf;
            }
            part.kind = kind;
            open_.push_back({index, kind == PartKind::multipart ? part.content_type.boundary.substr(0, limits_.boundary) : std::string{},
                             kind == PartKind::multipart});
            const std::size_t body = part.body;
            mime_.parts.push_back(std::move(part));
            if (kind != PartKind::message)
                return body;
            // A boundary may follow at once: then there is no message within.
            bool final = false;
            if (content_.substr(body, 2) == "--" && find_boundary(content_.substr(body, line_end(content_, body) - body), final) != Part::none)
                return body;
            parent = index;
            at = body;
        }
    }

    void read_header(Part& part)
    {
        HeaderWalk walk{content_.substr(part.begin), part.begin};
        bool type = false;
        for (auto field = walk.next(); field; field = walk.next()) {
            bool final = false;
            if (field->name.starts_with("--") &&
                find_boundary(content_.substr(field->offset, line_end(content_, field->offset) - field->offset), final) != Part::none) {
                part.header_end = part.body = field->offset;
                return;
            }
            if (field->is("Content-Type") && !std::exchange(type, true)) {
                part.content_type = parse_content_type(field->body);
                part.typed = true;
            } else if (field->is("Content-Transfer-Encoding") && part.encoding_length == 0) {
                part.encoding = parse_encoding(field->body);
                part.encoding_offset = field->offset;
                part.encoding_length = field->whole.size();
            } else if (field->is("MIME-Version")) {
                part.mime_version = true;
            }
        }
        part.header_end = walk.header_size();
        part.body = walk.body_offset();
        part.empty_line = walk.end() == HeaderEnd::empty_line;
    }

    std::string_view content_;
    MimeLimits limits_;
    Mime mime_;
    std::vector<Open> open_;
};

}  // namespace

ContentType parse_content_type(std::string_view body)
{
    ContentType content_type;
    FieldLexer lexer{body};
    std::string token, type, subtype;
    char mark = '\0';
    if (lexer.next(type, mark) && mark == '\0' && lexer.next(token, mark) && mark == '/' && lexer.next(subtype, mark) && mark == '\0') {
        content_type.type = to_lower(type);
        content_type.subtype = to_lower(subtype);
    }
    std::string key;
    while (lexer.next(token, mark)) {
        if (mark != ';') {
            if (mark == '\0')
                key = to_lower(token);
            if (mark != '=')
                continue;
            std::string value;
            if (!lexer.value(value))
                continue;
            if (key == "boundary" && content_type.boundary.empty())
                content_type.boundary = value;
            else if (key == "charset" && content_type.charset.empty())
                content_type.charset = to_lower(value);
            key.clear();
        } else {
            key.clear();
        }
    }
    while (!content_type.boundary.empty() && is_space(content_type.boundary.back()))
        content_type.boundary.pop_back();
    return content_type;
}

Encoding parse_encoding(std::string_view body)
{
    FieldLexer lexer{body};
    std::string token;
    char mark = '\0';
    lexer.next(token, mark);
    return iequals(token, "7bit")               ? Encoding::seven_bit
           : iequals(token, "8bit")             ? Encoding::eight_bit
           : iequals(token, "binary")           ? Encoding::binary
           : iequals(token, "quoted-printable") ? Encoding::quoted_printable
           : iequals(token, "base64")           ? Encoding::base64
                                                : Encoding::other;
}

Mime parse_mime(std::string_view content, const MimeLimits& limits) { return Walk{content, limits}.run(); }

}  // namespace posthorn::message

// inject/compose.hpp: the message that a recipient gets.                     RFC 5322, RFC 2045 to 2047 (MIME), RFC 2183 (attachments), RFC 2231 (names), RFC 2387
// Shape    content as text is a template of the whole message: line ends become CRLF, text beyond ASCII in its header encoded words, and a body beyond
//          ASCII that says nothing of itself is said to be UTF-8. Content as an object is built: text, AMP and HTML as multipart/alternative, what has
//          a content_id around it as multipart/related, attachments around that as multipart/mixed.
// Units    octets in stored form (CRLF, protocol/smtp/data.hpp).
// Errors   make(): the member and the place in it ("content.text_body: line 1, column 4: ..."); compose(): why this recipient has no message.
// Owns     its templates and the attachments, encoded once. The Request outlives it. Pure but for the boundary, which nobody can foresee.
#pragma once

#include "base/error.hpp"
#include "inject/request.hpp"
#include "inject/template.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::inject {

class Composer {
public:
    /// Takes the attachments out of the request.
    static Result<Composer> make(Request& request, const RenderLimits& limits);

    /// All recipients get the same octets.
    bool same_for_all() const { return same_; }
    Result<std::string> compose(const Recipient& recipient) const;

private:
    struct Part {
        std::string text;  // header and body
        std::string type;  // "text/html"
    };
    struct HeaderField {
        std::string name, member;  // "Subject", "content.subject"
        Template value;
    };
    struct Shown {
        Person person;
        Template name;
    };

    explicit Composer(const Request& request, const RenderLimits& limits) : request_(&request), limits_(limits) {}
    Result<void> compile(Built& built);
    Result<std::string> build(const Recipient& recipient, std::span<const boost::json::object* const> values) const;
    Result<void> add_bodies(std::vector<Part>& parts, std::span<const boost::json::object* const> values) const;
    Result<std::string> build_head(const Recipient& recipient, std::span<const boost::json::object* const> values) const;

    const Request* request_;
    RenderLimits limits_;
    std::optional<Template> whole_, text_, html_, amp_;
    std::vector<HeaderField> fields_;
    std::optional<Shown> from_, reply_to_;
    std::vector<Part> inline_, attached_;
    std::string boundary_;
    bool same_ = false;
};

/// A field with its line ends; text beyond ASCII is encoded. Error: there is some where it cannot be (an address).
Result<std::string> encoded_field(std::string_view name, std::string_view value);

/// `; filename="a.txt"`, or RFC 2231's form of it, folded.
std::string file_name_parameter(std::string_view name);

}  // namespace posthorn::inject

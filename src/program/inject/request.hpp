// inject/request.hpp: a request to inject mail: JSON, read and held against what there is.              KumoMTA's manual, POST /api/inject/v1; RFC 8259
// Shape    envelope_sender, recipients, content (a whole message as text, or an object that says what to build), substitutions, template_dialect,
//          trace_headers, deferred_spool, deferred_generation. The last two are taken and change nothing: no answer comes before the sync.
// Errors   name the place: "line 3, column 7: ..." where it is no JSON, "recipients[2].email: ..." where a member is wrong, unknown or missing.
// Trust    none: depth is limited, names and addresses that would end a header line or a command are refused.
// Owns     its text. Pure.
#pragma once

#include "base/error.hpp"
#include "smtp/path.hpp"

#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace posthorn::inject {

enum class Dialect { jinja, literal, handlebars };  // literal: "Static", no template at all

struct Recipient {
    std::string email;  // as it was said: what answers and templates call it
    std::optional<smtp::Mailbox> mailbox;  // none: it is no address; this recipient alone is refused
    std::optional<std::string> name;
    boost::json::object substitutions;
};

struct Person {
    smtp::Mailbox mailbox;
    std::string name;
};

struct Attachment {
    std::string octets;
    std::string content_type;  // "image/gif", with its parameters
    std::string content_id;  // without <>; empty: none, then it stands beside the text and not within
    std::string file_name;  // empty: none
};

/// A message to be built.
struct Built {
    std::optional<std::string> text, html, amp;
    std::vector<Attachment> attachments;
    std::vector<std::pair<std::string, std::string>> headers;  // in their order; names are field names, each but once
    std::optional<Person> from, reply_to;
    std::optional<std::string> subject;
};

struct Request {
    smtp::Mailbox sender;
    std::vector<Recipient> recipients;
    std::variant<std::string, Built> content;
    boost::json::object substitutions;
    Dialect dialect = Dialect::jinja;
    /// A field that names the recipient, for feedback reports (trace_headers.supplemental_header); empty: none.
    std::string reference_field;
};

/// `memory`: for what JSON becomes, substitutions among it. Error 4.3.1: it gave no more.
Result<Request> parse_request(std::string_view json, boost::json::storage_ptr memory = {});

}  // namespace posthorn::inject

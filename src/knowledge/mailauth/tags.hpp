// mailauth/tags.hpp: lists of tags: "v=1; a=rsa-sha256; d=example.com".                                       RFC 6376 3.2, RFC 8616 4
// Shape    name=value parted by ";", which may end the list as well; white space around names and values is folding. A name that stands twice, an
//          empty place between two ";" and a control octet make the whole list malformed; a tag that nobody knows does not.
// Owns     nothing: views into the text. Pure. Trust: none; white space inside a value is left as it is, UTF-8 is let through.
#pragma once

#include "base/error.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

struct Tag {
    std::string_view name, value;                   // case as it was written: both count
};

class TagList {
public:
    /// The body of a field, folded or not, or a TXT record. An Error: what is malformed, fit for a comment.
    static Result<TagList> parse(std::string_view text);

    /// None: it is not there. An empty value is one.
    std::optional<std::string_view> find(std::string_view name) const;
    /// In the order written; at least one.
    const std::vector<Tag>& all() const { return tags_; }

private:
    explicit TagList(std::vector<Tag> tags) : tags_(std::move(tags)) {}
    std::vector<Tag> tags_;
};

/// Without spaces, tabs and line ends, for values in base64.
std::string without_space(std::string_view value);

/// The words of a value between colons, trimmed; empty ones are there, too.
std::vector<std::string_view> colon_words(std::string_view value);

}  // namespace posthorn::mailauth

// inject/template.hpp: text with places in it for what differs from recipient to recipient.           MiniJinja's and Handlebars' manuals, as KumoMTA has them
// Shape    compiled once, rendered for each recipient. Two languages, one tree (tree.hpp): jinja.cpp and handlebars.cpp read them.
// Errors   "line 3, column 7: ...": what of a language is not known here is refused when it is compiled, so that no mail goes out half rendered.
//          While it is rendered: what has no meaning with these values, and the limits.
// Undefined  names are empty text and false, as MiniJinja and Handlebars have them; a member of what is undefined is an error in Jinja.
// Limits   nesting while it is compiled; octets of output and steps while it is rendered.
// Trust    none, neither in the text nor in the values. Pure.
#pragma once

#include "base/error.hpp"
#include "inject/request.hpp"

#include <boost/json/object.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace posthorn::inject {

struct Tree;

struct RenderLimits {
    std::size_t octets = 10'240'000;
    std::size_t steps = 1'000'000;  // nodes and passes of loops
};

class Template {
public:
    /// `html`: what is put into it is escaped, unless it says otherwise.
    static Result<Template> compile(Dialect dialect, std::string_view source, bool html = false);
    Template(Template&&) noexcept;
    Template& operator=(Template&&) noexcept;
    ~Template();

    /// The first of the objects that has a name decides what it is.
    Result<std::string> render(std::span<const boost::json::object* const> values, const RenderLimits& limits = {}) const;
    /// It has no places: every recipient gets the same.
    bool literal() const;

private:
    explicit Template(std::unique_ptr<Tree> tree);
    std::unique_ptr<Tree> tree_;
};

}  // namespace posthorn::inject

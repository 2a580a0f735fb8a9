#include "cleanup/chain.hpp"

#include "base/strings.hpp"

namespace posthorn::cleanup {

bool is_dropped(const message::Field& field, const Options& options)
{
    return std::ranges::any_of(options.drop_headers, [&](const std::string& name) { return field.is(name); });
}

Step drop_fields(Draft& draft, const Options& options)
{
    message::HeaderWalk walk(draft.head);
    while (const auto field = walk.next())
        if (is_dropped(*field, options))
            draft.edits.remove(field->offset, field->whole.size());
    return std::nullopt;
}

}  // namespace posthorn::cleanup

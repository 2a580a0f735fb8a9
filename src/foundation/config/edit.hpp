// config/edit.hpp: changes main.cf and master.cf in place; what is not named stays as it was, to the octet.
// Shape    pure functions from the old text to the new one, and `rewrite`, which does it to a file: under a lock, by a
//          temporary file beside it, synced, renamed; mode and owner kept. A reader sees the old file or the new one.
// Errors   in postconf's words; the file is untouched then.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "config/main_cf.hpp"
#include "config/master_entry.hpp"

namespace posthorn::config {

enum class MainEdit : std::uint8_t { set, remove, comment_out };

/// Every entry of a named parameter is replaced, removed or commented out; `set` appends those that have no entry, in order.
/// A comment between a line and its continuation stays. `path` is for warnings ("PATH: multiple entries for "name"").
std::string edit_main_cf(std::string_view text, MainEdit edit, std::span<const Assignment> wanted, std::string_view path,
                         std::vector<std::string>& warnings);

enum class MasterEdit : std::uint8_t { replace, remove, comment_out, change };

struct MasterRequest {
    std::string service, type;                    // "*" matches all
    MasterEdit edit = MasterEdit::change;
    MasterEntry entry;                            // for replace; appended where nothing matches
    std::function<void(MasterEntry&)> change;     // for change
    std::string shown;                            // how a warning names the request
};

/// Applies all requests in one pass. Changed entries are written anew (folded), others stay as they are.
Result<std::string> edit_master_cf(std::string_view text, std::span<const MasterRequest> requests, std::string_view path,
                                   std::vector<std::string>& warnings);

/// Reads `path` under a lock, replaces it by what `edit` makes of it. An absent file is an Error.
Result<bool> rewrite(const std::string& path, const std::function<Result<std::string>(std::string_view old)>& edit);

}  // namespace posthorn::config

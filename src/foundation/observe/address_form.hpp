// observe/address_form.hpp: info_log_address_format: how addresses stand in log lines.                                       postconf(5)
// Shape    lines are made with the external form, from=<"a b"@x.test>; where `internal` is asked for, what stands in from=<>, to=<> and
//          orig_to=<> loses the quotes and backslashes of its local part. Nearly every address has none, and its line passes as it is.
#pragma once

#include "observe/log.hpp"

#include <atomic>

namespace posthorn::observe {

/// Pure. What is no quoted local part stays.
std::string with_internal_addresses(std::string_view line);

class AddressForm final : public Sink {
public:
    AddressForm(std::shared_ptr<Sink> below, std::string_view format) : below_(std::move(below)) { set(format); }
    /// "internal"; anything else is external. From any thread.
    void set(std::string_view format) { internal_.store(format == "internal", std::memory_order_relaxed); }
    void write(Level level, std::string_view tag, std::string_view line) override;

private:
    std::shared_ptr<Sink> below_;
    std::atomic<bool> internal_ = false;
};

}  // namespace posthorn::observe

// sts/params.hpp: the parameters of this room.
#pragma once

#include "config/param.hpp"

#include <array>
#include <cstdint>

namespace posthorn::sts {

/// What comes of a policy that is not met.
enum class Use : std::uint8_t { no, testing, enforce };

}  // namespace posthorn::sts

namespace posthorn::config {

template <>
inline constexpr auto words<posthorn::sts::Use> = std::to_array<Word<posthorn::sts::Use>>(
    {{"no", posthorn::sts::Use::no}, {"testing", posthorn::sts::Use::testing}, {"enforce", posthorn::sts::Use::enforce}});

}  // namespace posthorn::config

namespace posthorn::sts {

// clang-format off
inline constexpr config::Param<Use> smtp_mta_sts{.name = "smtp_mta_sts", .initial = "no", .doc = "Ask domains for their policies of MTA-STS, where smtp_tls_policy_maps has no entry and smtp_tls_security_level is may, encrypt or dane. testing: log what they would have kept back. no: they are not asked; each question is a connection by HTTPS that a site has to allow.", .source = "RFC 8461", .since = "posthorn 0.1", .own = true};
inline constexpr config::Param<int> smtp_mta_sts_port{.name = "smtp_mta_sts_port", .initial = "443", .least = 1, .most = 65535, .doc = "The port at which policies of MTA-STS are asked for: another than 443 is for tests.", .since = "posthorn 0.1", .own = true};
// clang-format on

inline constexpr auto params = std::to_array<config::ParamInfo>({smtp_mta_sts, smtp_mta_sts_port});

}  // namespace posthorn::sts

// commands/letters.hpp: the options of the commands of this room, as getopt(3) reads them; the manual's pages are held against the same list.
#pragma once

namespace posthorn::commands {

inline constexpr const char* postfix_letters = "+c:Dv";
inline constexpr const char* postmulti_letters = "+ac:e:g:i:G:I:jlpRvx";
inline constexpr const char* postqueue_letters = "c:fi:jps:v";
inline constexpr const char* postsuper_letters = "c:d:e:f:h:H:pr:sSv";
inline constexpr const char* postcat_letters = "bc:dehnoqrs:v";
inline constexpr const char* postlog_letters = "c:ip:t:v";
inline constexpr const char* postkick_letters = "+c:v";
inline constexpr const char* postlock_letters = "+c:l:v";
inline constexpr const char* postdrop_letters = "c:rv";
inline constexpr const char* qshape_letters = "spm:b:t:lw:N:n:c:";

}  // namespace posthorn::commands

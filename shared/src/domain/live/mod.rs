//! The fast lane: failures within seconds, from the functions' own logs, for a rollback before a minute of metrics
//! has come.
//!
//! **What is tested.** Lambda routes every request at random by weight. So, while green is no worse than blue, the
//! next failure is green's with probability at most
//!
//! ```text
//! p = o w / (o w + 1 - w)        w: the weight in force when its invocation began; o: minEffect.oddsRatio
//! ```
//!
//! whatever outages, rhythms and bursts of bad requests do to the number of failures: no count of requests is
//! needed. Against it stand greens whose odds of a failure are `r` times blue's, of which the next failure is green's
//! with probability `q = r p / (r p + 1 - p)`. Each failure of green multiplies the bet on `r` by `q / p`, each of
//! blue's by `(1 - q) / (1 - p)`. For a true probability `t <= p` the factor's mean is
//! `t q / p + (1 - t)(1 - q) / (1 - p)`, which rises with `t` and is 1 at `t = p`: so each bet is a supermartingale
//! that begins at 1, and so is the average over r = 2, 4, 8, 16, 32, 64, and that over the release's functions. It
//! is ever 1 / a or more with probability at most a (Ville's inequality), so it may be looked at after every line.
//! The product does not depend on the order of the lines, so only their numbers at each weight are kept. That it is
//! looked at in the order in which lines arrive assumes that how long a line takes does not depend on the version.
//!
//! **Which weight.** A line with a duration is put to the weight in force when its invocation began, however
//! late it comes. One that does not is put to the weight in force when it was written: weights only rise during a
//! release, so that is the larger one, and a larger `p` only lowers every factor. For the same reason a weight
//! counts from before it is written ([`weights::SKEW`]). At 100 %, `p = q = 1`: nothing is bet.
//!
//! **Errors that stick** to an execution environment are not routed one by one. Leaving out failures of green can
//! only lower the value, and leaving out blue's could raise it: so all of blue's count, and of one environment of
//! green's at most one in ten seconds ([`environment::WINDOW_SECONDS`]). Where blue's past shows errors that do not
//! come one by one, or where there is no past that shows it, that is not enough: there an environment counts once for
//! each spell ([`environment::SPELL_SECONDS`]), and `p` is at least 1/2. That an environment falls sick is then
//! green's with probability at most its share of the environments; how many there are is not known, but a version
//! with at most half of the traffic needs at most half of them. Above a weight of 50 % the larger of both holds.
//!
//! **One alpha.** A release whose lane is armed gives half of `analysis.alpha` to this test, and half to the judge's:
//! by the union bound both together are false with probability at most alpha.
//!
//! It only ever requests a rollback. Few failures say nothing for green: lines may be lost.

pub mod deaf;
pub mod environment;
pub mod evidence;
pub mod filter;
pub mod lane;
pub mod line;
pub mod stream;
pub mod test;
pub mod weights;

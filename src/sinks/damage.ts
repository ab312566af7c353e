/** The way out of SINK_DAMAGED: what a sink holds can be filled again from the log. */
export const damageHint = 'stop the platform, then: npx millrace rebuild --sink <name of this sink>';

export { CrossfadeRelease, CrossfadeReleaseProps } from "./release";
export * from "./request";

/** The Worker as it is deployed, with another Sandbox behind the real SDK's proxy. */
export { Desk } from "../src/desk";
export { default } from "../src/worker";
export { Sandbox } from "./fake";

export { Desk } from "./desk";
export { Sandbox } from "./sandbox";
export { default } from "./worker";
